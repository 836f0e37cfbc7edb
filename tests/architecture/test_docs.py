"""What the pages say can be done: links lead somewhere, targets exist, commands parse, settings are settings."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from stockade_cli.__main__ import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    if not name.startswith("vendor/")
)
BLOCK = re.compile(r"^```(?:sh|console|shell|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _commands() -> list[tuple[str, str]]:
    """(page, line) of every `stockade …` line in a shell block."""
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                words = line.strip().removeprefix("$ ").removeprefix("sudo ").removeprefix(".venv/bin/")
                if words.startswith("stockade ") and "…" not in words:
                    found.append((str(page.relative_to(ROOT)), words))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in targets if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make ([a-z-]+)", page.read_text()))
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


@pytest.mark.parametrize(("page", "line"), _commands())
def test_commands_parse(page: str, line: str) -> None:
    """Each word of the line is a command, an option or an argument that the command takes; nothing is run."""
    words = list(shlex.split(line, comments=True)[1:])
    for stop in ("|", ">", "2>", "&&", ";", "<", "&"):
        words = words[: words.index(stop)] if stop in words else words
    _parse(cli, "stockade", words, None)


def _parse(command: click.Command, name: str, words: list[str], parent: click.Context | None) -> None:
    try:
        context = command.make_context(name, list(words), parent=parent)
    except click.BadParameter as error:
        if "does not exist" in error.message:  # a file of the reader's
            return
        raise
    except click.exceptions.Exit:  # --help, --version
        return
    if isinstance(command, click.Group) and context._protected_args:
        sub_name, sub, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert sub is not None, f"{name} has no command {sub_name}"
        _parse(sub, f"{name} {sub_name}", rest, context)
