"""`stockade limits`: how much of its limits an agent has used."""

import click
from stockade.networkpolicy.v1 import limit_service_pb2 as pb
from stockade.networkpolicy.v1 import limit_service_pb2_grpc

from stockade_cli.connection import stub
from stockade_cli.durations import show_bytes
from stockade_cli.output import json_option, print_fields, print_json


@click.group()
def limits() -> None:
    """Show what the limits have counted."""


@limits.command()
@click.argument("agent")
@click.option("--agent-type", default="", help="Whose limits to show beside; else those it asked with last.")
@json_option
def show(agent: str, agent_type: str, as_json: bool) -> None:
    """Show how much of its limits AGENT has used."""
    with stub(limit_service_pb2_grpc.LimitServiceStub, "policy") as service:
        found = service.GetLimitUsage(pb.GetLimitUsageRequest(agent=agent, agent_type=agent_type))
    if as_json:
        print_json(found)
    else:
        print_fields(_fields(found))


def _fields(found: pb.GetLimitUsageResponse) -> dict[str, object]:
    limits = found.limits
    return {
        "agent": found.agent,
        "policy": found.policy,
        "at once": f"{found.burst_left} of {limits.burst_size} left, {limits.requests_per_minute} a minute",
        "this hour": f"{found.requests_last_hour} of {limits.requests_per_hour} requests",
        "tunnels": _of(str(found.tunnels_open), str(limits.max_tunnels) if limits.max_tunnels else ""),
        "bytes": _of(
            show_bytes(found.bytes_last_hour), show_bytes(limits.bytes_per_hour) if limits.bytes_per_hour else ""
        ),
        "on lease": found.tokens_on_lease,
        "next": f"in {found.retry_after.ToTimedelta().total_seconds():.3g} s"
        if found.retry_after.ToNanoseconds()
        else "now",
    }


def _of(used: str, limit: str) -> str:
    return f"{used} of {limit}" if limit else f"{used}, no limit"
