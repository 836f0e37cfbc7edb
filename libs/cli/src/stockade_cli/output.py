"""How the command speaks: tables for people, JSON for programs, colours on a terminal only."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F")


def json_option(command: F) -> F:
    """The flag that every command which answers something has; arrives as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)  # type: ignore[type-var]


def print_json(value: Any) -> None:
    """One JSON document; a protobuf message as its canonical JSON with the contract's field names.

    What a terminal would obey instead of show (controls, bidirectional overrides) is escaped, as JSON has it.
    """
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as their widest cell, the header dimmed."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(click.unstyle(row[i])) for row in [list(headers), *texts]) for i in range(len(headers))]
    click.echo(style(_line(headers, widths), dim=True))
    for row in texts:
        click.echo(_line(row, widths))


def print_fields(fields: Mapping[str, Any]) -> None:
    """One thing, a line for each of its fields."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        click.echo(f"{style(name.ljust(width), dim=True)}  {value}")


def style(text: str, **how: Any) -> str:
    """`text` with click's styles, or as it is where colours are not wanted (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, **how)


def say(line: str) -> None:
    """A line for people on stderr, which leaves stdout to the answer."""
    click.echo(line, err=True)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_pad(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - len(click.unstyle(cell)))


def _plain(value: Any) -> Any:
    if hasattr(value, "DESCRIPTOR"):
        from google.protobuf.json_format import MessageToDict

        return MessageToDict(value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
