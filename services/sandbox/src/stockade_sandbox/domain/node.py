"""A node as the others see it, and what it can be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from stockade_sandbox.domain.sandbox import Limits, Tier

_NOTHING = Limits()


class NodeState(StrEnum):
    """How a node is. Names as in the contract."""

    READY = "READY"
    CORDONED = "CORDONED"
    DRAINING = "DRAINING"
    LOST = "LOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What one node says of itself. Times are seconds since the epoch."""

    name: str
    incarnation: str
    """Differs with every start of its service."""
    place: str
    """Where its service runs: the same after a restart, and on no other machine."""
    host: str
    """The machine's name, for people."""
    state: NodeState = NodeState.READY
    engine: str = ""
    tiers: tuple[Tier, ...] = ()
    sandboxes: int = 0
    sandbox_limit: int = 0
    warm: int = 0
    promised: Limits = _NOTHING
    capacity: Limits = _NOTHING
    started_at: float = 0.0
    heard_at: float = 0.0
    """When it said so."""
    obeyed: str = ""
    """The last order that it has carried out."""


class Command(StrEnum):
    """What a node can be told."""

    CORDON = "CORDON"
    UNCORDON = "UNCORDON"
    DRAIN = "DRAIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One thing that a node is told, by whichever other. `grace` is seconds, for DRAIN."""

    id: str
    command: Command
    grace: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the registry answers to a beat: what the node is told, how many sandboxes it is said to have, and who is
    silent, each with its last beat."""

    order: Order | None = None
    placed: int = 0
    silent: Mapping[str, str] = field(default_factory=dict)
