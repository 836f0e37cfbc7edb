"""`stockade flags`: the feature flags of this machine's agents."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from stockade_agent.flags import DEFAULT_TYPE, FLAGS, Explanation, FlagSet, FlagsInvalid

from stockade_cli.errors import CommandFailed, Exit
from stockade_cli.output import json_option, print_json, print_table

DEFAULT_FILE = Path("/etc/stockade/flags.json")


def file_option(command: Any) -> Any:
    """The option that names the file; arrives as `file`."""
    return click.option(
        "--file",
        type=click.Path(path_type=Path),
        envvar="STOCKADE_FLAGS_FILE",
        default=DEFAULT_FILE,
        show_default=True,
        help="The file of flags; else STOCKADE_FLAGS_FILE.",
    )(command)


@click.group()
def flags() -> None:
    """Show which feature flags hold for an agent, and why. A flag raises a wall; none takes one away."""


@flags.command("list")
@file_option
@json_option
def list_flags(file: Path, as_json: bool) -> None:
    """List the flags and what share of each agent type falls under them."""
    found = {flag: dict(_read(file).shares.get(flag, {})) for flag in FLAGS}
    if as_json:
        print_json(found)
    else:
        rows = [(flag, name, f"{share:g} %") for flag, shares in found.items() for name, share in shares.items()]
        print_table(("FLAG", "TYPE", "SHARE"), rows)


@flags.command()
@click.argument("agent")
@click.option("--agent-type", default=DEFAULT_TYPE, show_default=True, help="The agent's type.")
@file_option
@json_option
def explain(agent: str, agent_type: str, file: Path, as_json: bool) -> None:
    """Say of each flag whether it holds for AGENT, and why."""
    known = _read(file)
    told = [known.explain(flag, agent, agent_type) for flag in FLAGS]
    if as_json:
        print_json([asdict(each) for each in told])
    else:
        print_table(("FLAG", "STATE", "WHY"), [(each.flag, "on" if each.on else "off", _why(each)) for each in told])


def _read(file: Path) -> FlagSet:
    try:
        return FlagSet.read(file)
    except FlagsInvalid as error:
        mend = "agents keep the flags they had; one that starts now has all walls up"
        raise CommandFailed(f"{error}; {mend}", Exit.FAILED) from None


def _why(told: Explanation) -> str:
    if not told.rule:
        return "the file gives no share for its type"
    relation = "below" if told.on else "not below"
    return f"its place {told.bucket:g} is {relation} the {told.percent:g} % of {told.rule}"
