"""Sandboxes and snapshots as JSON documents, as registries keep them."""

import dataclasses
import json
from typing import Any

from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Reason, Sandbox, State, Tier
from stockade_sandbox.domain.snapshot import Snapshot

_SANDBOX_FIELDS = frozenset(field.name for field in dataclasses.fields(Sandbox))


def document(value: Sandbox | Snapshot) -> str:
    """One JSON object with its fields. A node that is not said is left out: the node's own registry need not say it."""
    fields = dataclasses.asdict(value)
    if not fields.get("node", True):
        del fields["node"]
    return json.dumps(fields)


def sandbox_of(text: str | bytes) -> Sandbox:
    """The sandbox of a document; fields of a newer version are passed over."""
    fields = {name: value for name, value in json.loads(text).items() if name in _SANDBOX_FIELDS}
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
    fields = json.loads(text)
    return Snapshot(**fields | _common(fields))


def _common(fields: dict[str, Any]) -> dict[str, Any]:
    """What sandboxes and snapshots have alike that JSON has no type for."""
    return {
        "tier": Tier(fields["tier"]),
        "network_mode": NetworkMode(fields["network_mode"]),
        "limits": Limits(**fields["limits"]),
        "allowed_domains": tuple(fields["allowed_domains"]),
    }
