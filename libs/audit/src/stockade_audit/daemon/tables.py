"""Entries as CSV (RFC 4180): a header, then a line each. No proof ties a line to a signed head."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from stockade_audit.sealing import Opened

COLUMNS: Final = (
    "journal", "position", "time", "service", "action", "principal_kind", "principal", "agent", "agent_type", "sandbox",
    "resource", "domain", "reason", "rule", "policy_version", "method", "path", "status", "bytes_sent",
    "bytes_received", "duration_us", "trace_id", "span_id", "id", "intent_id", "redacted", "truncated", "metadata",
    "erased",
)  # fmt: skip
NOTE: Final = "this_copy_cannot_be_verified"


def csv_lines(entries: Iterable[tuple[str, int, Opened]]) -> Iterator[bytes]:
    """The lines with their ends. The last column's name says what a reader of a copy should know."""
    yield _line([*COLUMNS, NOTE])
    for slot, position, entry in entries:
        fields = {**entry.fields, "journal": slot, "position": position, "erased": entry.erased or ""}
        yield _line([*(_cell(fields.get(name, "")) for name in COLUMNS), ""])


def _cell(value: Any) -> str:
    """A value as text that no spreadsheet takes for a formula (OWASP, CSV injection) and no terminal for a command."""
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"'{text}" if isinstance(value, str) and text.startswith(("=", "+", "-", "@")) else text


def _line(cells: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().encode()
