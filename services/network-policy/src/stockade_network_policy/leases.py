"""Tokens on loan: granted in advance, reported in batches, returned or closed as unknown, and counted once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stockade_audit import Action, Entry, Journal, RecordUnavailable, new_entry_id
from stockade_audit.entry import PENDING, MetadataValue
from stockade_rpckit.logs import get_logger

from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.decisions import Outcome
from stockade_network_policy.domain.decision import Request, Verdict, decide
from stockade_network_policy.domain.errors import LeaseExpired, LeaseNotFound, LeaseUnavailable, LimitsUnavailable
from stockade_network_policy.domain.policy import Mode, Policy
from stockade_network_policy.domain.ports import LimitStore
from stockade_network_policy.entries import ACTIONS, outcome_fields

log = get_logger(__name__)

_GRACE_US = 10_000_000  # the engine holds a lease so much longer than we honour it, so that we close it and not it
_SWEEP_S = 0.5
_ENTRIES_AT_ONCE = 1000  # of one append to the journal
_KINDS_SHOWN = 32  # of the refusals in one report
_REMEMBERED_S = 600.0  # how long a lease that ended is told from one that never was


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A decision that was made in-process, as its maker tells it."""

    request: Request
    verdict: Verdict
    rule: str
    policy_version: int
    time_ns: int
    ticket: int | None = None  # None: it cost none
    outcome: Outcome | None = None


@dataclass(slots=True, kw_only=True)
class Lease:
    """Tokens on loan to one agent."""

    lease_id: str
    agent: str
    agent_type: str
    sandbox: str
    tokens: int
    expire_s: float  # by the monotonic clock
    expire_ns: int
    reported: set[int] = field(default_factory=set)
    redeemed: set[int] = field(default_factory=set)  # by reports, recorded or about to be
    unused: int = 0  # tokens that it ended with
    ended: bool = False


class Leases:
    """Grants, reports and ends of leases."""

    def __init__(self, catalogue: Catalogue, limits: LimitStore, journal: Journal, lifetime_s: float) -> None:
        self._catalogue = catalogue
        self._limits = limits
        self._journal = journal
        self._lifetime_s = lifetime_s
        self._leases: dict[str, Lease] = {}

    async def lend(self, *, agent: str, agent_type: str, sandbox: str, tokens: int) -> Lease:
        """Holds up to `tokens` of the agent's limits; durable in the record before it returns.

        Raises LeaseUnavailable, LimitsUnavailable, RecordUnavailable.
        """
        policy = self._catalogue.rules(agent_type).policy
        if policy.mode is Mode.REPORT:
            raise LeaseUnavailable(f"the policy {policy.agent_type} is held in mode REPORT: ask for each request")
        lease_id = new_entry_id()
        lifetime_us = round(self._lifetime_s * 1e6) + _GRACE_US
        granted, refusal = await self._limits.lend(
            agent, policy.limits, lease=lease_id, tokens=tokens, lifetime_us=lifetime_us
        )
        if refusal is not None:
            retry_after_s = refusal.retry_after_us / 1e6
            raise LeaseUnavailable(f"{refusal.rule} of {agent} is used up; try again", retry_after_s)
        lease = Lease(
            lease_id=lease_id,
            agent=agent,
            agent_type=agent_type,
            sandbox=sandbox,
            tokens=granted,
            expire_s=time.monotonic() + self._lifetime_s,
            expire_ns=time.time_ns() + round(self._lifetime_s * 1e9),
        )
        try:
            await self._journal.append(_granted(lease, policy))
        except RecordUnavailable:
            await self._limits.reclaim(agent, policy.limits, lease_id)
            raise
        self._leases[lease_id] = lease
        return lease

    def get(self, lease_id: str, agent: str = "") -> Lease:
        """The lease, where it is that agent's. Raises LeaseNotFound."""
        lease = self._leases.get(lease_id)
        if lease is None or agent not in ("", lease.agent):
            raise LeaseNotFound(lease_id)
        return lease

    async def report(self, lease: Lease, decisions: Sequence[Reported]) -> int:
        """Records decisions made in-process and uses their tickets; returns how many were new.

        What the service itself decides otherwise is recorded as the agent's claim. Raises LeaseExpired,
        RecordUnavailable.
        """
        if lease.ended:
            raise LeaseExpired(lease.lease_id)
        new = [told for told in decisions if told.ticket is not None and self._is_new(lease, told.ticket)]
        tickets = {told.ticket for told in new if told.ticket is not None}
        lease.reported |= tickets
        try:
            used = [told for told in new if await self._redeem(lease, told)]
            entries = [entry for told in used for entry in self._entries(lease, told)]
            refused = [told for told in decisions if told.ticket is None]
            await self._append([*entries, *self._folded(lease, refused)])
        except (RecordUnavailable, LimitsUnavailable):
            lease.reported -= tickets
            raise
        return len(used) + len(refused)

    async def give_back(self, lease: Lease) -> int:
        """Ends a lease and gives its unused tokens back; 0 where it had ended before. Raises RecordUnavailable."""
        if lease.ended:
            return 0
        await self._end(lease, spend=False)
        return lease.unused

    async def close_expired(self) -> None:
        """Ends leases whose holders went away, for ever: what they never reported is unknown, and spent."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for lease in list(self._leases.values()):
                if not lease.ended and lease.expire_s <= now:
                    await self._expire(lease)
                if lease.expire_s + _REMEMBERED_S <= now:
                    del self._leases[lease.lease_id]

    async def _expire(self, lease: Lease) -> None:
        try:
            await self._end(lease, spend=True)
        except (RecordUnavailable, LimitsUnavailable) as error:
            log.warning("an expired lease stays open", extra={"lease": lease.lease_id, "error": str(error)})

    async def _end(self, lease: Lease, *, spend: bool) -> None:
        """Ends a lease and records it; where that fails it stays open, and is ended again."""
        lease.ended = True
        limits = self._catalogue.rules(lease.agent_type).policy.limits
        try:
            lease.unused += await self._limits.reclaim(lease.agent, limits, lease.lease_id, spend=spend)
            await self._journal.append(_closed(lease, spent=spend))
        except (RecordUnavailable, LimitsUnavailable):
            lease.ended = False
            raise

    async def _append(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), _ENTRIES_AT_ONCE):
            await self._journal.append_many(entries[start : start + _ENTRIES_AT_ONCE])

    def _is_new(self, lease: Lease, ticket: int) -> bool:
        return ticket < lease.tokens and ticket not in lease.reported

    async def _redeem(self, lease: Lease, told: Reported) -> bool:
        """Uses the ticket; False where the gate took it already, whose decision stands in the record."""
        ticket = told.ticket or 0
        if ticket in lease.redeemed:  # by a report that could not be recorded
            return True
        limits = self._catalogue.rules(lease.agent_type).policy.limits
        if await self._limits.redeem(lease.agent, limits, lease=lease.lease_id, ticket=ticket) is not None:
            return False
        lease.redeemed.add(ticket)
        return True

    def _entries(self, lease: Lease, told: Reported) -> Iterator[Entry]:
        """A decision, and the outcome that closes it."""
        opening = self._entry(lease, told, {"lease": f"{lease.lease_id}.{told.ticket}"})
        yield opening
        if opening.status == PENDING:
            outcome = told.outcome or Outcome.unknown()
            action = Action.OUTCOME if outcome.known else Action.OUTCOME_UNKNOWN
            closing = {**_whose(lease), **outcome_fields(outcome)}
            yield Entry(action=action, intent_id=opening.id, domain=opening.domain, **closing)

    def _folded(self, lease: Lease, refused: Sequence[Reported]) -> Iterator[Entry]:
        """Refusals cost no ticket, so they are counted by host and rule: nobody fills the record with them."""
        kinds = {(told.request.host, told.rule): told for told in refused}
        counts = Counter((told.request.host, told.rule) for told in refused)
        shown = list(kinds.items())[:_KINDS_SHOWN]
        for kind, told in shown:
            yield self._entry(lease, told, {"lease": lease.lease_id, "count": counts.pop(kind)})
        if rest := counts.total():
            metadata: dict[str, MetadataValue] = {"lease": lease.lease_id, "count": rest, "local": True}
            yield Entry(action=Action.CLAIM, reason="MORE_REFUSALS", metadata=metadata, **_whose(lease))

    def _entry(self, lease: Lease, told: Reported, metadata: dict[str, MetadataValue]) -> Entry:
        """What was decided, where we decide the same; else the agent's claim."""
        ruling = decide(self._catalogue.rules(lease.agent_type), told.request)
        agreed = ruling.allowed is (told.verdict is not Verdict.DENY)
        action = ACTIONS[told.verdict] if agreed else Action.CLAIM
        return Entry(
            action=action,
            time_ns=told.time_ns,
            domain=ruling.host or told.request.host[:255],
            rule=told.rule,
            policy_version=told.policy_version,
            method=told.request.method,
            status=PENDING if action is Action.ALLOWED else "",
            metadata={**metadata, "port": told.request.port, "local": True},
            **_whose(lease),
        )


def _whose(lease: Lease) -> dict[str, Any]:
    return {
        "principal_kind": "agent",
        "principal": lease.agent,
        "agent": lease.agent,
        "agent_type": lease.agent_type,
        "sandbox": lease.sandbox,
    }


def _granted(lease: Lease, policy: Policy) -> Entry:
    return Entry(
        id=lease.lease_id,
        action=Action.LEASE_GRANTED,
        policy_version=policy.version,
        metadata={"tokens": lease.tokens, "expire_ns": lease.expire_ns, "policy": policy.agent_type},
        **_whose(lease),
    )


def _closed(lease: Lease, *, spent: bool) -> Entry:
    unused = "unknown" if spent else "returned"
    metadata: dict[str, MetadataValue] = {
        "tokens": lease.tokens,
        "reported": len(lease.reported),
        unused: lease.unused,
    }
    action = Action.OUTCOME_UNKNOWN if spent and lease.unused else Action.LEASE_CLOSED
    return Entry(action=action, intent_id=lease.lease_id, metadata=metadata, **_whose(lease))
