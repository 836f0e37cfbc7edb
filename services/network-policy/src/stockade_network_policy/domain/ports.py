"""What the service needs from outside: a place for policies, and an engine that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from stockade_network_policy.domain.errors import (
    EtagMismatch,
    PolicyExists,
    PolicyNotFound,
    PolicyRequired,
)
from stockade_network_policy.domain.limits import Refusal, Usage
from stockade_network_policy.domain.permits import MessageLimit
from stockade_network_policy.domain.policy import DEFAULT, Change, Limits, Policy, Version

SEED = "seed"  # who made the versions that Stockade ships with


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One change to one policy. An `etag` must be the current one; CREATED must find none, the others must find one."""

    policy: Policy
    change: Change
    etag: str = ""
    request_id: str = ""


class PolicyStore(Protocol):
    """Keeps policies and all their versions. Safe to call from several threads; several processes may share one."""

    def revision(self) -> int:
        """Grows with each change, whoever made it: what a reader polls."""
        ...

    def policies(self) -> list[Policy]:
        """The policies as they are now, by agent type."""
        ...

    def write(self, writes: Sequence[Write], *, by: str, now_ns: int) -> list[Policy]:
        """Makes all changes or none and returns the policies as stored.

        Raises PolicyExists, PolicyNotFound, EtagMismatch, PolicyRequired.
        """
        ...

    def seed(self, policies: Sequence[Policy], *, now_ns: int) -> None:
        """Takes what Stockade ships with, except where a later edit or a delete stands."""
        ...

    def versions(self, agent_type: str, *, below: int, limit: int) -> list[Version]:
        """Versions under a number, newest first."""
        ...

    def find_request(self, request_id: str) -> Version | None:
        """The version that a request made."""
        ...

    def close(self) -> None:
        """Lets go of what is open."""
        ...


class MessageLimitStore(Protocol):
    """Keeps the limits of messages. Safe to call from several threads; several processes may share one."""

    def all(self) -> list[MessageLimit]:
        """Every limit that was set."""
        ...

    def put(self, limit: MessageLimit) -> None:
        """Sets the limit of its message type and agent type."""
        ...

    def close(self) -> None:
        """Lets go of what is open."""
        ...


class LimitStore(Protocol):
    """Counts what agents ask for; each call is one atomic step, see `domain.limits`. Times are of its own clock.

    Every method raises LimitsUnavailable where the engine does not answer within 100 ms.
    """

    @property
    def degraded(self) -> bool:
        """Whether the engine was away when it was last asked, or may lose what it counts."""
        ...

    async def take(self, agent: str, limits: Limits, *, tunnel: str = "", count: int = 1) -> Refusal | None:
        """Counts so many requests, and the tunnel they open, or nothing."""
        ...

    async def lend(
        self, agent: str, limits: Limits, *, lease: str, tokens: int, lifetime_us: int
    ) -> tuple[int, Refusal | None]:
        """Holds up to `tokens` under a lease; 0 comes with the limit that refused."""
        ...

    async def redeem(self, agent: str, limits: Limits, *, lease: str, ticket: int, tunnel: str = "") -> Refusal | None:
        """Uses one ticket of a lease, once; the rule of a refused ticket is `lease`."""
        ...

    async def reclaim(self, agent: str, limits: Limits, lease: str, *, spend: bool = False) -> int:
        """Ends a lease, gives back what it had unused or counts it as spent, and says how many tokens that was."""
        ...

    async def close_tunnel(self, agent: str, tunnel: str) -> None:
        """A tunnel has ended."""
        ...

    async def add_bytes(self, agent: str, limits: Limits, amount: int) -> bool:
        """Counts bytes that passed; True when the hour's are used up."""
        ...

    async def usage(self, agent: str, limits: Limits) -> Usage:
        """What has been counted; counts nothing."""
        ...

    async def close(self) -> None:
        """Lets go of what is open."""
        ...


def next_version(last: Version | None, write: Write, *, by: str, now_ns: int) -> Version:
    """The version that a write makes after the last one of its agent type; every store's rule.

    Raises PolicyExists, PolicyNotFound, EtagMismatch, PolicyRequired.
    """
    policy, change = write.policy, write.change
    current = last.policy if last is not None and last.change is not Change.DELETED else None
    if change is Change.CREATED and current is not None:
        raise PolicyExists(policy.agent_type)
    if change is not Change.CREATED:
        if current is None:
            raise PolicyNotFound(policy.agent_type)
        if write.etag and write.etag != current.etag:
            raise EtagMismatch(policy.agent_type, current.etag)
    if change is Change.DELETED and policy.agent_type == DEFAULT:
        raise PolicyRequired
    number = last.policy.version + 1 if last is not None else 1
    stored = replace(policy, version=number, changed_by=by, update_time_ns=now_ns)
    return Version(policy=stored, change=change)


def seed_write(last: Version | None, policy: Policy) -> Write | None:
    """What seeding a policy changes: nothing where someone has edited or deleted it, or it says the same."""
    if last is None:
        return Write(policy=policy, change=Change.CREATED)
    untouched = last.policy.changed_by == SEED and last.change is not Change.DELETED
    if untouched and not last.policy.says(policy):
        return Write(policy=policy, change=Change.UPDATED)
    return None
