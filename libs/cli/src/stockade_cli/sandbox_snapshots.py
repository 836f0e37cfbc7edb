"""`stockade sandbox snapshot | snapshots | restore | fork | forget`: copies of what a sandbox holds."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from stockade.sandbox.v1 import sandbox_pb2, sandbox_service_pb2, sandbox_service_pb2_grpc

from stockade_cli.connection import stub
from stockade_cli.durations import Duration, show_age, show_bytes
from stockade_cli.names import short_name
from stockade_cli.output import json_option, print_json, print_table

SERVICE = sandbox_service_pb2_grpc.SandboxServiceStub


@click.command()
@click.option("--memory", "with_memory", is_flag=True, help="Its live memory, too; the GVISOR tier alone can.")
@click.argument("name")
@json_option
def snapshot(name: str, with_memory: bool, as_json: bool) -> None:
    """Copy the files of sandbox NAME, and print the snapshot's name."""
    request = sandbox_service_pb2.CreateSnapshotRequest(name=name, with_memory=with_memory)
    with stub(SERVICE, "sandbox") as service:
        taken = service.CreateSnapshot(request).snapshot
    print_json(taken) if as_json else click.echo(taken.name)


@click.command()
@click.option("--sandbox", default="", metavar="NAME", help="Of this sandbox only.")
@json_option
def snapshots(sandbox: str, as_json: bool) -> None:
    """List the snapshots that there are."""
    found = list(_pages(sandbox))
    if as_json:
        print_json(found)
    else:
        print_table(("NAME", "SANDBOX", "AGENT", "TIER", "MEMORY", "SIZE", "AGE"), map(_row, found))


@click.command()
@click.option("--lifetime", type=Duration(), metavar="D", help="End the new sandbox after this long, e.g. 1h.")
@click.argument("snapshot_name", metavar="SNAPSHOT")
@json_option
def restore(snapshot_name: str, lifetime: timedelta | None, as_json: bool) -> None:
    """Make a new sandbox from SNAPSHOT and print its name."""
    request = sandbox_service_pb2.RestoreSandboxRequest(snapshot=snapshot_name, lifetime=lifetime)
    with stub(SERVICE, "sandbox") as service:
        made = service.RestoreSandbox(request).sandbox
    print_json(made) if as_json else click.echo(made.name)


@click.command()
@click.option("-n", "count", type=click.IntRange(1, 100), default=1, show_default=True, help="How many.")
@click.argument("name")
@json_option
def fork(name: str, count: int, as_json: bool) -> None:
    """Make sandboxes that go on from where NAME is, live memory included, and print their names (tier GVISOR)."""
    with stub(SERVICE, "sandbox") as service:
        made = service.ForkSandbox(sandbox_service_pb2.ForkSandboxRequest(name=name, count=count)).sandboxes
    if as_json:
        print_json(list(made))
    for each in made if not as_json else ():
        click.echo(each.name)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="SNAPSHOT...")
def forget(names: tuple[str, ...]) -> None:
    """Remove snapshots; sandboxes made from them are not touched."""
    with stub(SERVICE, "sandbox") as service:
        for name in names:
            service.DeleteSnapshot(sandbox_service_pb2.DeleteSnapshotRequest(name=name))
            click.echo(name)


def _pages(sandbox: str) -> Iterator[sandbox_pb2.Snapshot]:
    request = sandbox_service_pb2.ListSnapshotsRequest(sandbox=sandbox, page_size=1000)
    with stub(SERVICE, "sandbox") as service:
        while True:
            page = service.ListSnapshots(request)
            yield from page.snapshots
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _row(each: sandbox_pb2.Snapshot) -> tuple[Any, ...]:
    return (
        each.name,
        each.sandbox,
        each.agent,
        short_name(sandbox_pb2.Tier, each.tier),
        "yes" if each.with_memory else "no",
        show_bytes(each.size_bytes),
        show_age(datetime.now(UTC) - each.create_time.ToDatetime(UTC)),
    )
