"""Sandboxes, snapshots and nodes as JSON documents, as registries keep them."""

import dataclasses
import json
from typing import Any, TypeVar

from stockade_sandbox.domain.node import Command, Node, NodeState, Order
from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Reason, Sandbox, State, Tier
from stockade_sandbox.domain.snapshot import Snapshot

T = TypeVar("T")

_SANDBOX_FIELDS = tuple(field.name for field in dataclasses.fields(Sandbox))


def plain(value: Node | Order | Snapshot) -> str:
    """One JSON object with its fields."""
    return json.dumps(dataclasses.asdict(value))


def document(sandbox: Sandbox, **more: str) -> str:
    """One JSON object with its fields, and `more`. A node that is not said is left out."""
    # Not by `asdict`, which copies what is in them first: three quarters of the time that this takes.
    fields = {name: getattr(sandbox, name) for name in _SANDBOX_FIELDS if name != "node" or sandbox.node}
    return json.dumps(fields | more, default=dataclasses.asdict)


def sandbox_of(text: str) -> Sandbox:
    """The sandbox of a document."""
    fields = _fields(Sandbox, text)
    return Sandbox(
        **fields
        | _common(fields)
        | {
            "state": State(fields["state"]),
            "reason": Reason(fields["reason"]),
            "cpus": tuple(fields["cpus"]),
            "warnings": tuple(fields["warnings"]),
        }
    )


def snapshot_of(text: str) -> Snapshot:
    """The snapshot of a document."""
    fields = _fields(Snapshot, text)
    return Snapshot(**fields | _common(fields))


def node_of(text: str) -> Node:
    """The node of a document."""
    fields = _fields(Node, text)
    return Node(
        **fields
        | {
            "state": NodeState(fields["state"]),
            "tiers": tuple(map(Tier, fields["tiers"])),
            "promised": Limits(**fields["promised"]),
            "capacity": Limits(**fields["capacity"]),
        }
    )


def order_of(text: str) -> Order:
    """The order of a document."""
    fields = _fields(Order, text)
    return Order(**fields | {"command": Command(fields["command"])})


def _fields(kind: type[T], text: str) -> dict[str, Any]:
    """The document's fields; those of a newer version are passed over."""
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return {name: value for name, value in json.loads(text).items() if name in known}


def _common(fields: dict[str, Any]) -> dict[str, Any]:
    """What sandboxes and snapshots have alike that JSON has no type for."""
    return {
        "tier": Tier(fields["tier"]),
        "network_mode": NetworkMode(fields["network_mode"]),
        "limits": Limits(**fields["limits"]),
        "allowed_domains": tuple(fields["allowed_domains"]),
    }
