"""`stockade sandbox cp`: files into a sandbox and out of it."""

from collections.abc import Callable
from pathlib import Path

import click
from stockade_agent.sandbox import AsyncSandbox

from stockade_cli.connection import connected, operator_settings
from stockade_cli.output import json_option, print_json, say
from stockade_cli.progress import progress
from stockade_cli.streams import run_interruptible


@click.command()
@click.argument("source")
@click.argument("directory")
@json_option
def cp(source: str, directory: str, as_json: bool) -> None:
    """Copy SOURCE, a file or what a directory holds, into DIRECTORY.

    One of the two is NAME:PATH, an absolute path in sandbox NAME. Links are not copied out.
    """
    outward, inward = _inside(source), _inside(directory)
    if (outward is None) == (inward is None):
        raise click.UsageError("one of SOURCE and DIRECTORY has to be NAME:PATH, a path in a sandbox")
    with progress("copied") as on_progress:
        count = run_interruptible(_copy(source, directory, outward, inward, on_progress))
    print_json({"copied": count}) if as_json else say(f"stockade: {count} copied")


async def _copy(
    source: str,
    directory: str,
    outward: tuple[str, str] | None,
    inward: tuple[str, str] | None,
    on_progress: Callable[[int], None],
) -> int:
    async with connected(operator_settings()) as stockade:
        if outward is not None:
            name, path = outward
            return await AsyncSandbox.existing(stockade, name).download(path, _existing(directory), on_progress)
        assert inward is not None
        name, path = inward
        return await AsyncSandbox.existing(stockade, name).upload(_existing(source), path, on_progress)


def _inside(text: str) -> tuple[str, str] | None:
    name, colon, path = text.partition(":")
    return (name, path) if colon and path.startswith("/") and "/" not in name else None


def _existing(text: str) -> Path:
    if not Path(text).exists():
        raise click.BadParameter(f"{text} does not exist")
    return Path(text)
