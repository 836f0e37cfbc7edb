"""A sandbox as a value: what it was given, where it is in its life."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum, StrEnum

NAME_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
"""Lower-case base32 (RFC 4648 §6)."""


class NetworkMode(IntEnum):
    """Which ways out there are; each permits more than the one before. Numbers as in the contract."""

    ISOLATED = 1
    WHITELISTED = 2
    HOST = 3


class Tier(IntEnum):
    """What stands between a sandbox and the host's kernel; a greater one is stronger. Numbers as in the contract."""

    NAMESPACE = 1
    RUNC = 2
    GVISOR = 3


class State(StrEnum):
    """Where a sandbox is in its life. WARM is no state of the contract: no caller has claimed it yet."""

    WARM = "WARM"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    ENDING = "ENDING"
    ENDED = "ENDED"
    LOST = "LOST"


LIVING = frozenset({State.STARTING, State.RUNNING, State.PAUSED, State.ENDING})
"""States in which a caller's sandbox takes room."""


class Reason(StrEnum):
    """Why a sandbox is in its state. Names as in the contract."""

    NONE = "UNSPECIFIED"
    DELETED = "DELETED"
    LIFETIME_OVER = "LIFETIME_OVER"
    IDLE = "IDLE"
    START_FAILED = "START_FAILED"
    KILLED = "KILLED"
    REMOVED = "REMOVED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    SUPERVISOR_GONE = "SUPERVISOR_GONE"
    NODE_DRAINED = "NODE_DRAINED"
    NODE_LOST = "NODE_LOST"


LOST_REASONS = frozenset(
    {Reason.KILLED, Reason.REMOVED, Reason.OUT_OF_MEMORY, Reason.SUPERVISOR_GONE, Reason.NODE_LOST}
)
"""Reasons that nobody asked for: the sandbox is LOST, not ENDED."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sandbox may use: cores, bytes (swap included), bytes on disk, processes and threads.

    In a request 0 stands for the profile's figure.
    """

    cpu: float = 0.0
    memory: int = 0
    disk: int = 0
    pids: int = 0


def total(limits: Iterable[Limits]) -> Limits:
    """All of them together."""
    each = list(limits)
    return Limits(*(sum(getattr(one, field.name) for one in each) for field in fields(Limits)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """One sandbox. Times are seconds since the epoch; `ended_at` is 0 while it lives."""

    name: str
    uid: int
    state: State
    image: str
    limits: Limits
    tier: Tier
    cpus: tuple[int, ...]
    """The host's cores that it is pinned to."""
    node: str = ""
    """The node it lives on; empty: this one."""
    init_pid: int = 0
    """The host's pid of its init process; 0 until it runs."""
    snapshot: str = ""
    """The snapshot whose files it began with; empty: none."""
    with_memory: bool = False
    """Whether it goes on from that one's live memory, not only its files."""
    agent: str = ""
    agent_type: str = ""
    owner: str = ""
    """The principal that made it, as "kind/name"; quotas count by it."""
    profile: str = ""
    agent_type_known: bool = False
    image_digest: str = ""
    reason: Reason = Reason.NONE
    message: str = ""
    network_mode: NetworkMode = NetworkMode.ISOLATED
    gated: bool = False
    allowed_domains: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0
    expires_at: float = 0.0
    idle_timeout: float = 0.0
    ended_at: float = 0.0
    revision: int = 0
    trace_id: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def living(self) -> bool:
        """Whether a caller's sandbox takes room."""
        return self.state in LIVING

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"W/{self.revision}"


def over(sandbox: Sandbox, reason: Reason, message: str, at: float) -> Sandbox:
    """`sandbox` once it has ended at `at`, for a reason; without its environment, which may hold what is secret."""
    return replace(
        sandbox,
        state=State.LOST if reason in LOST_REASONS else State.ENDED,
        reason=reason,
        message=message,
        ended_at=at,
        revision=sandbox.revision + 1,
        env={},
    )


def listing_key(sandbox: Sandbox) -> str:
    """Orders sandboxes, the newest first; two are never equal."""
    return f"{1e12 - sandbox.created_at:019.6f}:{sandbox.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asks for. Limits of 0, and None, stand for the profile's and the server's own."""

    agent: str
    agent_type: str
    image: str = ""
    limits: Limits = Limits()
    network_mode: NetworkMode | None = None
    allowed_domains: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    lifetime: float | None = None
    idle_timeout: float | None = None
    least_tier: Tier | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    snapshot: str = ""
    """The snapshot whose files it begins with; empty: none."""
    memory_of: int = 0
    """The uid whose live memory in that snapshot it goes on from; 0: from files alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which sandboxes are meant: everything that is set must match. No states: those that live."""

    agent: str = ""
    agent_type: str = ""
    states: frozenset[State] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    node: str = ""

    def matches(self, sandbox: Sandbox) -> bool:
        """Whether `sandbox` is meant."""
        return (
            sandbox.state in (self.states or LIVING)
            and self.agent in ("", sandbox.agent)
            and self.agent_type in ("", sandbox.agent_type)
            and self.labels.items() <= sandbox.labels.items()
            and (not self.names or sandbox.name in self.names)
            and self.node in ("", sandbox.node)
        )


def new_name(prefix: str = "sb") -> str:
    """A name that has not been: 60 random bits."""
    return f"{prefix}-{''.join(NAME_ALPHABET[byte & 31] for byte in secrets.token_bytes(12))}"
