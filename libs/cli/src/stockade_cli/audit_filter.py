"""The options by which `stockade audit` chooses entries, and how an entry is shown to people."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.audit.v1 import entry_pb2

from stockade_cli.durations import Duration
from stockade_cli.output import style

F = TypeVar("F", bound=Callable[..., Any])

ACTIONS = [name.removeprefix("ACTION_") for name, number in entry_pb2.Action.items() if number]
COLOURS = {"ALLOWED": "green", "BLOCKED": "red", "RATE_LIMITED": "yellow", "ALERT": "red", "GAP": "red"}

_OPTIONS = (
    click.option("--since", type=Duration(), metavar="D", help="From so long ago, e.g. 1h."),
    click.option("--until", type=Duration(), metavar="D", help="Up to so long ago."),
    click.option("--agent", "agents", multiple=True, metavar="ID", help="Of this agent; may be given again."),
    click.option("--agent-type", "agent_types", multiple=True, metavar="TYPE", help="Of agents of this type."),
    click.option("--domain", "domains", multiple=True, metavar="NAME", help="About this host name."),
    click.option(
        "--action", "actions", multiple=True, type=click.Choice(ACTIONS, case_sensitive=False), help="What happened."
    ),
    click.option("--sandbox", "sandboxes", multiple=True, metavar="NAME", help="About this sandbox."),
    click.option("--principal", "principals", multiple=True, metavar="NAME", help="Asked for by this principal."),
    click.option("--service", "services", multiple=True, metavar="NAME", help="Written by this service."),
    click.option("--trace", "trace_id", default="", metavar="ID", help="Of this trace."),
)


def filter_options(command: F) -> F:
    """Every option that chooses entries; they arrive as the arguments of `entry_filter`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def entry_filter(chosen: Mapping[str, Any]) -> entry_pb2.EntryFilter:
    """The filter of these options."""
    fields = dict(chosen)
    since, until = fields.pop("since"), fields.pop("until")
    fields["actions"] = [f"ACTION_{action.upper()}" for action in fields["actions"]]
    return entry_pb2.EntryFilter(start_time=ago(since), end_time=ago(until), **fields)


def ago(span: timedelta | None) -> Timestamp | None:
    """The time so long ago."""
    if span is None:
        return None
    stamp = Timestamp()
    stamp.FromNanoseconds(time.time_ns() - int(span.total_seconds() * 1e9))
    return stamp


def printable(text: str) -> str:
    """The text with what a terminal would obey instead of show as escapes: what is recorded may be an agent's words."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


HEADERS = ("TIME", "ACTION", "WHO", "SANDBOX", "WHAT", "WHY", "STATUS", "ID")


def row(entry: entry_pb2.Entry) -> tuple[str, ...]:
    """An entry in a table's line."""
    action = entry_pb2.Action.Name(entry.action).removeprefix("ACTION_")
    what = entry.domain or entry.resource or entry.method.rpartition("/")[2]
    where = f"{entry.method} {what}{entry.path}" if entry.domain else what
    who = entry.agent or entry.principal or _unreadable(entry)
    cells = (who, entry.sandbox, where, entry.rule or entry.reason, entry.status, entry.id)
    shown = [printable(cell) for cell in cells]
    return (_short_time(entry.time), style(action, fg=COLOURS.get(action)), *shown)


def _unreadable(entry: entry_pb2.Entry) -> str:
    return "(erased)" if entry.erased else "(key missing)" if entry.key_missing else ""


def _short_time(stamp: Timestamp) -> str:
    """Local time to the millisecond, without the date on the same day."""
    local = stamp.ToDatetime(UTC).astimezone()
    day = "" if local.date() == datetime.now().astimezone().date() else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M:%S}.{local.microsecond // 1000:03d}"
