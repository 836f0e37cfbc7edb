"""A policy's version as a row of a table, in whichever database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, LiteralString

from stockade_network_policy.domain.policy import Change, Limits, Mode, Policy, Version

COLUMNS: LiteralString = "agent_type, version, change, body, changed_by, time_ns"
_OWN_COLUMNS = ("agent_type", "version", "changed_by", "update_time_ns")


def row_of(version: Version) -> tuple[Any, ...]:
    """The values of `COLUMNS`."""
    policy = version.policy
    body = {name: value for name, value in asdict(policy).items() if name not in _OWN_COLUMNS}
    return (
        policy.agent_type,
        policy.version,
        version.change,
        json.dumps(body),
        policy.changed_by,
        policy.update_time_ns,
    )


def version_of(row: tuple[Any, ...]) -> Version:
    """What the values of `COLUMNS` say."""
    agent_type, number, change, body, changed_by, time_ns = row
    values = json.loads(body)
    policy = Policy(
        agent_type=agent_type,
        allowed_domains=tuple(values["allowed_domains"]),
        allowed_ports=tuple(values["allowed_ports"]),
        limits=Limits(**values["limits"]),
        audit_logging=values["audit_logging"],
        block_unknown_domains=values["block_unknown_domains"],
        mode=Mode(values["mode"]),
        version=number,
        changed_by=changed_by,
        update_time_ns=time_ns,
    )
    return Version(policy=policy, change=Change(change))
