"""`stockade sandbox top`: what all sandboxes use, as it changes."""

import sys
import time
from typing import Any

import click
import grpc
from stockade.sandbox.v1 import sandbox_pb2, sandbox_service_pb2, sandbox_service_pb2_grpc
from stockade_agent.errors import NotFound, StockadeError

from stockade_cli.connection import stub
from stockade_cli.durations import show_bytes
from stockade_cli.output import json_option, print_json, print_table

_CLEAR = "\x1b[H\x1b[J"


@click.command()
@click.option("--once", is_flag=True, help="Print one table and end.")
@json_option
def top(once: bool, as_json: bool) -> None:
    """Show what each sandbox that lives uses, renewed every second on a terminal."""
    before: dict[str, tuple[float, float]] = {}
    with stub(sandbox_service_pb2_grpc.SandboxServiceStub, "sandbox") as service:
        if as_json:
            print_json([{"sandbox": each, "usage": usage} for each, usage in _usages(service)])
            return
        while True:
            rows = [_row(each, usage, before) for each, usage in _usages(service)]
            if not once and sys.stdout.isatty():
                click.echo(_CLEAR, nl=False)
            print_table(("NAME", "AGENT", "CPU", "MEMORY", "OF", "PROCESSES", "DISK"), rows)
            if once or not sys.stdout.isatty():
                return
            time.sleep(1)


def _usages(service: Any) -> list[tuple[sandbox_pb2.Sandbox, sandbox_pb2.SandboxUsage]]:
    living = service.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest(page_size=1000)).sandboxes
    found = ((each, _usage(service, each.name)) for each in living)
    return [(each, usage) for each, usage in found if usage is not None]


def _usage(service: Any, name: str) -> sandbox_pb2.SandboxUsage | None:
    """None for one that ended since it was listed."""
    try:
        usage: sandbox_pb2.SandboxUsage = service.GetSandboxUsage(
            sandbox_service_pb2.GetSandboxUsageRequest(name=name)
        ).usage
    except grpc.RpcError as error:
        if isinstance(StockadeError.of(error), NotFound):
            return None
        raise
    return usage


def _row(
    each: sandbox_pb2.Sandbox, usage: sandbox_pb2.SandboxUsage, before: dict[str, tuple[float, float]]
) -> tuple[str, ...]:
    now, spent = time.monotonic(), usage.cpu.total.ToTimedelta().total_seconds()
    then, spent_then = before.get(each.name, (now, spent))
    before[each.name] = now, spent
    share = f"{(spent - spent_then) / (now - then):.0%}" if now > then else f"{spent:.2f} s"
    return (
        each.name,
        each.agent,
        share,
        show_bytes(usage.memory.used_bytes),
        show_bytes(usage.memory.limit_bytes),
        str(usage.pids.used),
        show_bytes(usage.disk.used_bytes),
    )
