"""`stockade gate`: how the gate is, and the configuration it runs."""

import click
from stockade.networkpolicy.v1 import gate_service_pb2 as pb
from stockade.networkpolicy.v1 import gate_service_pb2_grpc

from stockade_cli.connection import current_settings, stub
from stockade_cli.names import short_name
from stockade_cli.output import json_option, print_fields, print_json
from stockade_cli.stack.programs import ask_policy


@click.group()
def gate() -> None:
    """Look at the gate and its exceptions."""


@gate.command()
def bootstrap() -> None:
    """Print Envoy's configuration as the settings make it."""
    click.echo(ask_policy(current_settings(), "bootstrap"), nl=False)


@gate.command()
@json_option
def status(as_json: bool) -> None:
    """Show whether Envoy is connected, and how its doors are. Ends with 1 where it is not ready."""
    with stub(gate_service_pb2_grpc.GateServiceStub, "policy") as service:
        found = service.GetGateStatus(pb.GetGateStatusRequest())
    if as_json:
        print_json(found)
    else:
        print_fields(_fields(found))
    if found.state != pb.GATE_STATE_READY:
        raise SystemExit(1)


def _fields(found: pb.GetGateStatusResponse) -> dict[str, object]:
    fields: dict[str, object] = {
        "state": short_name(pb.GateState, found.state),
        "envoy": found.envoy_version or "not connected",
        "connected": found.connect_time.ToJsonString() if found.envoy_version else "",
        "doors": f"{found.doors_ready} of {found.doors} ready",
        "judged": f"{found.judged}, {found.refused} of them refused",
        "open": f"{found.awaiting_outcome} decisions without an outcome yet",
        "exceptions": ", ".join(found.exceptions) or "none",
        "refusal": found.last_refusal,
    }
    return {name: value for name, value in fields.items() if value}
