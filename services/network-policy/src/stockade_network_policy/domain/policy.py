"""What agents of one type may reach, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from stockade_network_policy.domain.hostname import DomainSet

DEFAULT = "default"  # the policy of every type that has none of its own
USUAL_PORTS = (80, 443)


class Mode(StrEnum):
    """How a policy is held."""

    ENFORCE = "ENFORCE"
    REPORT = "REPORT"  # unlisted public names and ports pass, recorded as what would have been refused


class Change(StrEnum):
    """What a version did to its policy."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much an agent may ask for; 0 in the last three is no limit."""

    requests_per_minute: int
    requests_per_hour: int
    burst_size: int
    max_tunnels: int = 0
    bytes_per_hour: int = 0
    tunnel_lifetime_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy as stored: domains canonical and sorted. The store sets what is below `mode`."""

    agent_type: str
    allowed_domains: tuple[str, ...]
    limits: Limits
    allowed_ports: tuple[int, ...] = USUAL_PORTS
    audit_logging: bool = True
    block_unknown_domains: bool = True
    mode: Mode = Mode.ENFORCE
    version: int = 0
    changed_by: str = ""
    update_time_ns: int = 0

    @property
    def etag(self) -> str:
        """Names this version of this policy; versions go on after a delete, so none comes twice."""
        return f"W/{self.version}"

    def says(self, other: Policy) -> bool:
        """Whether two policies say the same, whoever wrote them and when."""
        own = {f.name for f in fields(self)} - {"version", "changed_by", "update_time_ns"}
        return all(getattr(self, name) == getattr(other, name) for name in own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a policy; of DELETED, the policy as it was before."""

    policy: Policy
    change: Change


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy ready to decide by."""

    policy: Policy
    domains: DomainSet = field(init=False)
    ports: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", DomainSet(self.policy.allowed_domains))
        object.__setattr__(self, "ports", frozenset(self.policy.allowed_ports))


def plain_type(name: str, aliases: Mapping[str, str]) -> str:
    """The catalogue's name of an agent type: without `qe-`, aliases resolved."""
    plain = name.removeprefix("qe-")
    return aliases.get(plain, plain)


def tightens(before: Policy, after: Policy) -> bool:
    """Whether the change takes anything away that an open tunnel could still be using."""
    kept = DomainSet(after.allowed_domains)
    return (
        not all(kept.covers(pattern) for pattern in before.allowed_domains)
        or not set(before.allowed_ports) <= set(after.allowed_ports)
        or (after.block_unknown_domains and not before.block_unknown_domains)
        or (before.mode is Mode.REPORT and after.mode is Mode.ENFORCE)
    )
