"""`stockade audit`: read, follow, count and export the record."""

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import click
from google.protobuf.json_format import MessageToDict
from stockade.audit.v1 import audit_service_pb2, audit_service_pb2_grpc, entry_pb2

from stockade_cli.audit_filter import HEADERS, ago, entry_filter, filter_options, printable, row
from stockade_cli.audit_fleet import fleet, retire
from stockade_cli.audit_keys import rotate_key
from stockade_cli.audit_proof import evidence, status, verify
from stockade_cli.audit_retention import erase, hold
from stockade_cli.connection import followed, stub
from stockade_cli.durations import Duration
from stockade_cli.errors import CommandFailed
from stockade_cli.findings import findings
from stockade_cli.output import json_option, print_fields, print_json, print_table, say

SERVICE = audit_service_pb2_grpc.AuditServiceStub
PAGE = 1000
FORMATS = [name.removeprefix("EXPORT_FORMAT_").lower() for name, n in audit_service_pb2.ExportFormat.items() if n]
DIMENSIONS = [
    name.removeprefix("STATS_DIMENSION_").lower() for name, n in audit_service_pb2.StatsDimension.items() if n
]


@click.group()
def audit() -> None:
    """Read, verify and export the audit record."""


for command in (findings, verify, status, evidence, erase, hold, rotate_key, fleet, retire):
    audit.add_command(command)


@audit.command("list")
@filter_options
@click.option("--limit", default=100, show_default=True, metavar="N", help="At most so many.")
@click.option("--oldest-first", is_flag=True, help="In the order in which it happened.")
@json_option
def list_entries(limit: int, oldest_first: bool, as_json: bool, **chosen: Any) -> None:
    """List entries, the latest first."""
    order = "ENTRY_ORDER_OLDEST_FIRST" if oldest_first else "ENTRY_ORDER_NEWEST_FIRST"
    found = list(_pages(entry_filter(chosen), limit, order))
    if as_json:
        print_json([_plain(entry) for entry in found])
    else:
        print_table(HEADERS, map(row, found))


@audit.command()
@click.argument("entry_id")
@json_option
def show(entry_id: str, as_json: bool) -> None:
    """Show one entry, and those that speak of it."""
    with stub(SERVICE, "audit") as service:
        answer = service.GetEntry(audit_service_pb2.GetEntryRequest(id=entry_id))
    if as_json:
        print_json([_plain(entry) for entry in (answer.entry, *answer.related)])
        return
    for entry in (answer.entry, *answer.related):
        print_fields({name: printable(str(value)) for name, value in _plain(entry).items()})
        click.echo()


@audit.command()
@click.option("--since", type=Duration(), default="1h", show_default=True, metavar="D", help="From so long ago.")
@click.option("--by", multiple=True, type=click.Choice(DIMENSIONS), help="Count by this; may be given again.")
@click.option("--limit", default=50, show_default=True, metavar="N", help="At most so many rows.")
@json_option
def stats(since: timedelta, by: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Count entries, by action unless told otherwise."""
    dimensions = by or ("action",)
    request = audit_service_pb2.GetStatsRequest(
        start_time=ago(since), group_by=[f"STATS_DIMENSION_{name.upper()}" for name in dimensions], limit=limit
    )
    with stub(SERVICE, "audit") as service:
        answer = service.GetStats(request)
    rows = [_counts(found, dimensions) for found in answer.rows]
    if as_json:
        click.echo(json.dumps({"total": answer.total, "truncated": answer.truncated, "rows": rows}, indent=2))
        return
    print_table(
        [name.upper() for name in (*dimensions, "count")],
        [[printable(str(value)) for value in counts.values()] for counts in rows],
    )
    click.echo(f"{answer.total} entries in all" + (", more rows were left off" if answer.truncated else ""))


@audit.command()
@filter_options
@click.option("--backlog", default=10, show_default=True, metavar="N", help="Show the last so many first.")
@json_option
def tail(backlog: int, as_json: bool, **chosen: Any) -> None:
    """Follow the record until interrupted; with --json, an object a line."""
    request = audit_service_pb2.TailEntriesRequest(filter=entry_filter(chosen), backlog=backlog)
    with stub(SERVICE, "audit") as service:
        for answer in followed(service.TailEntries(request)):
            for entry in answer.entries:
                click.echo(json.dumps(_plain(entry)) if as_json else "  ".join(cell for cell in row(entry) if cell))


@audit.command()
@filter_options
@click.option("--format", "form", type=click.Choice(FORMATS), default="ndjson", show_default=True, help="Its form.")
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Where to; by default stdout.")
def export(form: str, output: Path | None, **chosen: Any) -> None:
    """Export entries. JSON and NDJSON can be verified without Stockade, CSV and OCSF cannot."""
    request = audit_service_pb2.ExportEntriesRequest(
        filter=entry_filter(chosen), format=f"EXPORT_FORMAT_{form.upper()}"
    )
    try:
        with output.open("xb") if output else _stdout() as file:
            entries = _write_export(request, file)
    except FileExistsError:
        raise CommandFailed(f"{output} exists; choose another name or move it away") from None
    except OSError as error:
        raise CommandFailed(f"{output or 'stdout'} cannot be written: {error.strerror}") from error
    say(f"{entries} entries exported")


def _pages(wanted: entry_pb2.EntryFilter, limit: int, order: str) -> Iterator[entry_pb2.Entry]:
    token = ""
    with stub(SERVICE, "audit") as service:
        while limit > 0:
            answer = service.ListEntries(
                audit_service_pb2.ListEntriesRequest(
                    filter=wanted, page_size=min(limit, PAGE), page_token=token, order=order
                )
            )
            yield from answer.entries
            limit, token = limit - len(answer.entries), answer.next_page_token
            if not token:
                return


def _write_export(request: audit_service_pb2.ExportEntriesRequest, file: BinaryIO) -> int:
    entries = 0
    with stub(SERVICE, "audit") as service:
        for part in service.ExportEntries(request):
            file.write(part.chunk)
            entries = part.entries
    file.flush()
    return entries


def _plain(entry: entry_pb2.Entry) -> dict[str, Any]:
    """Where the entry lies, and the members of its leaf as they were written, opened where they were sealed."""
    members = {"journal": entry.journal, "position": entry.position, **json.loads(entry.leaf)}
    members.pop("sealed", None)
    for opening in entry.openings:
        members |= json.loads(opening.value)
    unreadable = {"erased": entry.erased, "key_missing": entry.key_missing}
    return members | {name: True for name, holds in unreadable.items() if holds}


def _counts(found: audit_service_pb2.StatsRow, dimensions: tuple[str, ...]) -> dict[str, Any]:
    shown = MessageToDict(found, preserving_proto_field_name=True)
    values = {name: str(shown.get(name, "")).removeprefix("ACTION_") for name in dimensions}
    return {**values, "count": found.count}


def _stdout() -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdout.buffer)
