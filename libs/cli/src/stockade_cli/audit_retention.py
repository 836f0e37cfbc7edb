"""`stockade audit erase|hold`: what is forgotten, and what must not be."""

import uuid

import click
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.audit.v1 import retention_service_pb2, retention_service_pb2_grpc

from stockade_cli.audit_filter import printable
from stockade_cli.audit_proof import Moment
from stockade_cli.connection import stub
from stockade_cli.errors import CommandFailed
from stockade_cli.output import json_option, print_json, print_table

SERVICE = retention_service_pb2_grpc.RetentionServiceStub


@click.command()
@click.argument("subject")
@click.option("--reason", required=True, help="Why, for the record; do not name the subject.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def erase(subject: str, reason: str, yes: bool, as_json: bool) -> None:
    """Erase a subject: an agent's id or a person's name. Entries stay and verify, but say no more whose they are."""
    if not yes:
        click.confirm(f"Destroy the keys of {subject!r}? This cannot be undone", abort=True, err=True)
    request = retention_service_pb2.EraseSubjectRequest(subject=subject, justification=reason)
    with stub(SERVICE, "audit") as service:
        erased = service.EraseSubject(request)
    if as_json:
        print_json(erased)
    else:
        click.echo(f"{erased.keys} keys destroyed, {erased.rows} rows of the index cleared")
    if erased.waiting_for:
        raise CommandFailed(
            f"not complete: {', '.join(erased.waiting_for)} may still hold keys in memory; ask again, or restart them"
        )


@click.group()
def hold() -> None:
    """Keep what a legal hold covers from being erased or disposed of."""


@hold.command("add")
@click.option("--subject", default="", help="An agent's id or a person's name; everybody if it is not given.")
@click.option("--from", "start", type=Moment(), metavar="TIME", help="Entries from this time on.")
@click.option("--to", "end", type=Moment(), metavar="TIME", help="Entries before this time.")
@click.option("--reason", required=True, help="Why, for the record; do not name the subject.")
@json_option
def add_hold(subject: str, start: Timestamp | None, end: Timestamp | None, reason: str, as_json: bool) -> None:
    """Place a hold."""
    wanted = retention_service_pb2.Hold(subject=subject, start_time=start, end_time=end, justification=reason)
    request = retention_service_pb2.CreateHoldRequest(hold=wanted, request_id=str(uuid.uuid4()))
    with stub(SERVICE, "audit") as service:
        placed = service.CreateHold(request).hold
    if as_json:
        print_json(placed)
    else:
        click.echo(placed.id)


@hold.command("list")
@click.option("--all", "released_too", is_flag=True, help="Those that were released, too.")
@json_option
def list_holds(released_too: bool, as_json: bool) -> None:
    """List holds."""
    request = retention_service_pb2.ListHoldsRequest(show_released=released_too, page_size=1000)
    with stub(SERVICE, "audit") as service:
        holds = service.ListHolds(request).holds
    if as_json:
        print_json(list(holds))
    else:
        print_table(("ID", "SUBJECT", "FROM", "TO", "PLACED", "RELEASED", "WHY"), map(_row, holds))


@hold.command("release")
@click.argument("hold_id")
@click.option("--reason", required=True, help="Why, for the record.")
def release_hold(hold_id: str, reason: str) -> None:
    """Let a hold hold no longer."""
    with stub(SERVICE, "audit") as service:
        service.ReleaseHold(retention_service_pb2.ReleaseHoldRequest(id=hold_id, justification=reason))


def _row(found: retention_service_pb2.Hold) -> tuple[str, ...]:
    times = ("start_time", "end_time", "create_time", "release_time")
    shown = [f"{getattr(found, name).ToDatetime():%Y-%m-%d %H:%M}" if found.HasField(name) else "" for name in times]
    return (found.id, printable(found.subject) or "(everybody)", *shown, printable(found.justification))
