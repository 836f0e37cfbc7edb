"""`stockade audit findings`: what rules over the record have noticed, and what people make of it."""

import json

import click
from google.protobuf.json_format import MessageToDict
from stockade.audit.v1 import finding_service_pb2, finding_service_pb2_grpc

from stockade_cli.audit_filter import printable
from stockade_cli.connection import stub
from stockade_cli.output import json_option, print_table

SERVICE = finding_service_pb2_grpc.FindingServiceStub
DISPOSITIONS = ("resolved", "false_positive", "accepted")


@click.group()
def findings() -> None:
    """Look at what the rules have noticed, and say what it was."""


@findings.command("list")
@click.option("--all", "disposed_too", is_flag=True, help="Those that are disposed of, too.")
@click.option("--limit", default=100, show_default=True, metavar="N", help="At most so many.")
@json_option
def list_findings(disposed_too: bool, limit: int, as_json: bool) -> None:
    """List findings, the latest first."""
    states = [] if disposed_too else ["FINDING_STATE_OPEN", "FINDING_STATE_ACKNOWLEDGED"]
    request = finding_service_pb2.ListFindingsRequest(states=states, page_size=min(limit, 1000))
    with stub(SERVICE, "audit") as to:
        found = to.ListFindings(request).findings
    if as_json:
        click.echo(json.dumps([MessageToDict(f, preserving_proto_field_name=True) for f in found], indent=2))
    else:
        print_table(("ID", "TIME", "STATE", "KIND", "SUBJECT", "WHAT"), map(_row, found))


@findings.command()
@click.argument("finding_id")
@click.option("--note", default="", help="What there is to say.")
def ack(finding_id: str, note: str) -> None:
    """Say that somebody looks into a finding."""
    with stub(SERVICE, "audit") as to:
        to.AcknowledgeFinding(finding_service_pb2.AcknowledgeFindingRequest(id=finding_id, note=note))


@findings.command()
@click.argument("finding_id")
@click.option("--as", "disposition", required=True, type=click.Choice(DISPOSITIONS), help="What it turned out to be.")
@click.option("--note", required=True, help="Why.")
def dispose(finding_id: str, disposition: str, note: str) -> None:
    """Close a finding."""
    with stub(SERVICE, "audit") as to:
        to.DisposeFinding(
            finding_service_pb2.DisposeFindingRequest(
                id=finding_id, disposition=f"DISPOSITION_{disposition.upper()}", note=note
            )
        )


def _row(found: finding_service_pb2.Finding) -> tuple[str, ...]:
    kind = finding_service_pb2.FindingKind.Name(found.kind).removeprefix("FINDING_KIND_")
    state = finding_service_pb2.FindingState.Name(found.state).removeprefix("FINDING_STATE_")
    time = f"{found.time.ToDatetime():%Y-%m-%d %H:%M:%S}"
    return found.id, time, state, kind, printable(found.subject), printable(found.summary)
