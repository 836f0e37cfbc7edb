"""`stockade audit fleet|retire` and `verify --fleet`: the record of all nodes under one head."""

import json
from collections.abc import Iterator

import click
from google.protobuf.json_format import MessageToDict
from stockade.audit.v1 import fleet_service_pb2, fleet_service_pb2_grpc, integrity_service_pb2

from stockade_cli.audit_filter import printable
from stockade_cli.connection import stub
from stockade_cli.errors import CommandFailed
from stockade_cli.output import json_option, print_json, print_table, say

SERVICE = fleet_service_pb2_grpc.FleetServiceStub
PAGE = 1000


def verify_fleet(as_json: bool) -> None:
    """Hold what every node copied to its heads, and those to the fleet's; fails when something does not fit."""
    with stub(SERVICE, "audit") as service:
        reports = list(service.VerifyFleet(fleet_service_pb2.VerifyFleetRequest()))
    if as_json:
        click.echo(json.dumps([MessageToDict(r, preserving_proto_field_name=True) for r in reports], indent=2))
    else:
        print_table(("NODE", "JOURNAL", "VERDICT", "SIZE", "DETAIL"), map(_report, reports))
    bad = [r for r in reports if r.verdict != integrity_service_pb2.VERDICT_INTACT]
    if bad:
        raise CommandFailed(f"the record of the fleet is NOT intact: {', '.join(dict.fromkeys(map(_who, bad)))}")


@click.command()
@json_option
def fleet(as_json: bool) -> None:
    """List the nodes whose records stand under the fleet's head."""
    pages = list(_pages())
    nodes = [node for page in pages for node in page.nodes]
    if as_json:
        print_json(nodes)
        return
    print_table(("NODE", "STATE", "HEADS", "LAST SEEN", "PROBLEM"), map(_node, nodes))
    if pages[-1].problem:
        say(f"no head of the fleet is signed: {printable(pages[-1].problem)}")


@click.command()
@click.argument("node")
@click.option("--reason", required=True, help="Why, for the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def retire(node: str, reason: str, yes: bool) -> None:
    """Say that a NODE is gone for good: its log stays counted, its silence is no alarm, and it may sign no more."""
    if not yes:
        click.confirm(f"Retire {node!r}? A machine that returns has to take another name", abort=True, err=True)
    request = fleet_service_pb2.RetireFleetNodeRequest(node=node, justification=reason)
    with stub(SERVICE, "audit") as service:
        retired = service.RetireFleetNode(request).node
    click.echo(f"{retired.node} is retired: {retired.sequence} of its heads are counted")


def _pages() -> Iterator[fleet_service_pb2.ListFleetNodesResponse]:
    token = ""
    with stub(SERVICE, "audit") as service:
        while True:
            page = service.ListFleetNodes(fleet_service_pb2.ListFleetNodesRequest(page_size=PAGE, page_token=token))
            yield page
            token = page.next_page_token
            if not token:
                return


def _who(report: fleet_service_pb2.VerifyFleetResponse) -> str:
    return "the fleet's head" if report.is_fleet else report.node or "(unnamed)"


def _report(report: fleet_service_pb2.VerifyFleetResponse) -> tuple[str, ...]:
    verdict = integrity_service_pb2.Verdict.Name(report.verdict).removeprefix("VERDICT_")
    bad = report.journal and report.verdict != integrity_service_pb2.VERDICT_INTACT
    place = f"at {report.first_bad_position}: " if bad else ""
    node = "(fleet)" if report.is_fleet else report.node or "(unnamed)"
    return node, report.journal or "(heads)", verdict, f"{report.size}", place + printable(report.detail)


def _node(node: fleet_service_pb2.FleetNode) -> tuple[str, ...]:
    seen = f"{node.time.ToDatetime():%Y-%m-%d %H:%M:%S}" if node.HasField("time") else "never"
    state = "retired" if node.retired else "active"
    return node.node or "(unnamed)", state, f"{node.sequence}", seen, printable(node.problem)
