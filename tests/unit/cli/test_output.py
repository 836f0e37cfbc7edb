"""What the command prints for programs harms no terminal, and is the same value."""

import json

import click
import pytest
from click.testing import CliRunner
from stockade_cli.output import print_json


@pytest.mark.parametrize(
    "text", ["plain", "größer", "\x1b[31m", "\x9b31m", "\u202eevil", "\u2066a\u2069", "\x7f", "\u2028", "a\nb"]
)
def test_json_for_programs_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    @click.command()
    def command() -> None:
        print_json({"text": text})

    printed = CliRunner().invoke(command).output
    assert json.loads(printed) == {"text": text}
    assert all(c.isprintable() or c == "\n" for c in printed)
