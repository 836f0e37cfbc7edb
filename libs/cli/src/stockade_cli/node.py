"""`stockade node`: the nodes that sandboxes run on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from stockade.sandbox.v1 import node_service_pb2, node_service_pb2_grpc, sandbox_pb2

from stockade_cli.connection import stub
from stockade_cli.durations import Duration, show_age, show_bytes
from stockade_cli.names import short_name
from stockade_cli.output import json_option, print_json, print_table

SERVICE = node_service_pb2_grpc.NodeServiceStub


@click.group()
def node() -> None:
    """Look after the nodes that sandboxes run on; any node of a fleet answers for all."""


@node.command("list")
@json_option
def list_nodes(as_json: bool) -> None:
    """List the nodes: how they are, and what room they have."""
    found = list(_pages())
    if as_json:
        print_json(found)
    else:
        print_table(
            ("NAME", "STATE", "SANDBOXES", "WARM", "CPU", "MEMORY", "TIERS", "ENGINE", "HEARD"), map(_row, found)
        )


@node.command()
@click.argument("name")
@json_option
def cordon(name: str, as_json: bool) -> None:
    """Let node NAME take no new sandboxes; those it has run on."""
    with stub(SERVICE, "sandbox") as service:
        _print(service.CordonNode(node_service_pb2.CordonNodeRequest(name=name)).node, as_json)


@node.command()
@click.argument("name")
@json_option
def uncordon(name: str, as_json: bool) -> None:
    """Let node NAME take new sandboxes again."""
    with stub(SERVICE, "sandbox") as service:
        _print(service.UncordonNode(node_service_pb2.UncordonNodeRequest(name=name)).node, as_json)


@node.command()
@click.option(
    "--grace", type=Duration(), metavar="D", help="How long sandboxes may take to end on their own, e.g. 10m."
)
@click.argument("name")
@json_option
def drain(name: str, grace: timedelta | None, as_json: bool) -> None:
    """Cordon node NAME, end its sandboxes, and print those that were ended."""
    request = node_service_pb2.DrainNodeRequest(name=name, grace=grace)
    with stub(SERVICE, "sandbox") as service:
        drained = service.DrainNode(request, timeout=None)
    if as_json:
        print_json(drained)
    for sandbox in drained.ended_sandboxes if not as_json else ():
        click.echo(sandbox)


def _pages() -> Iterator[node_service_pb2.Node]:
    request = node_service_pb2.ListNodesRequest(page_size=1000)
    with stub(SERVICE, "sandbox") as service:
        while True:
            page = service.ListNodes(request)
            yield from page.nodes
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _print(found: node_service_pb2.Node, as_json: bool) -> None:
    print_json(found) if as_json else click.echo(f"{found.name} {_state(found)}")


def _state(each: node_service_pb2.Node) -> str:
    return short_name(node_service_pb2.NodeState, each.state)


def _row(each: node_service_pb2.Node) -> tuple[Any, ...]:
    promised, capacity = each.promised, each.capacity
    return (
        each.name,
        _state(each),
        f"{each.sandboxes} of {each.sandbox_limit}",
        each.warm_sandboxes,
        f"{promised.cpu:g} of {capacity.cpu:g}",
        f"{show_bytes(promised.memory_bytes)} of {show_bytes(capacity.memory_bytes)}",
        ", ".join(short_name(sandbox_pb2.Tier, tier) for tier in each.tiers),
        each.engine or "none answers",
        f"{show_age(max(timedelta(), datetime.now(UTC) - each.heartbeat_time.ToDatetime(UTC)))} ago",
    )
