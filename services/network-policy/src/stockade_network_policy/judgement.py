"""The application service behind every way of asking: decide, count, record, then answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from stockade_audit import Journal, RecordUnavailable, new_entry_id
from stockade_rpckit.identity import Principal
from stockade_rpckit.logs import get_logger

from stockade_network_policy import entries, names
from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.decisions import Decisions, Ended, Judged, Outcome
from stockade_network_policy.domain.decision import Decision, Request, Ruling, Verdict, decide
from stockade_network_policy.domain.errors import LimitsUnavailable
from stockade_network_policy.domain.limits import Refusal
from stockade_network_policy.domain.policy import Limits, Policy
from stockade_network_policy.domain.ports import LimitStore
from stockade_network_policy.traffic import TrafficBook

__all__ = ["Ended", "Judged", "Judgement", "Outcome"]

log = get_logger(__name__)

OUTCOME_WAIT_S = 300.0  # without a sign of life for so long, an outcome counts as unknown
_SWEEP_S = 5.0
_AT_ONCE = 1000  # ends recorded together
_RETRY_US = 1_000_000
_TICKET_DIGITS = 9


class Judgement:
    """Policy, limits and record in one call."""

    def __init__(
        self,
        catalogue: Catalogue,
        limits: LimitStore,
        journal: Journal,
        *,
        outcome_wait_s: float = OUTCOME_WAIT_S,
        names_per_minute: int = names.PER_MINUTE,
    ) -> None:
        self.decisions = Decisions()
        self.verdicts: Counter[str] = Counter()
        """Decisions given, by verdict."""
        self.traffic = TrafficBook()
        self._catalogue = catalogue
        self._limits = limits
        self._journal = journal
        self._outcome_wait_s = outcome_wait_s
        self._names = names.NameBudget(names_per_minute)

    async def judge(self, request: Request, asker: Principal | None = None) -> Decision:
        """Decides in one atomic step and returns once the audit entry `decision_id` is durable.

        `asker` is who asked where that is not the agent itself. Raises `RecordUnavailable` where the decision cannot
        be recorded: the asker refuses the request (503) and never lets it pass.
        """
        policy = (rules := self._catalogue.rules(request.agent_type)).policy
        ruling = decide(rules, request)
        decision_id = new_entry_id()
        refusal = self._name(request, ruling) if ruling.allowed else None
        if ruling.allowed and refusal is None:
            refusal = await self._count(request, policy.limits, decision_id)
        decision = _decision(decision_id, policy, request, ruling, refusal)
        judged = Judged(request=request, decision=decision, time_ns=time.time_ns())
        try:
            await self._journal.submit(
                entries.decided(judged, policy, asker, pending=decision.verdict is Verdict.ALLOW)
            )
        except RecordUnavailable:
            await self._close_tunnel(judged)
            raise
        self.decisions.add(judged)
        self.verdicts[decision.verdict.name.lower()] += 1
        self.traffic.decided(request.sandbox, decision.verdict is Verdict.ALLOW)
        return decision

    async def count(self, request: Request, hits: int) -> Decision:
        """Only counts: limits without a policy on hosts, for askers that have one of their own. Nothing is to follow.

        Raises `RecordUnavailable` as `judge` does.
        """
        policy = self._catalogue.rules(request.agent_type).policy
        try:
            refusal = await self._limits.take(request.agent, policy.limits, count=hits)
        except LimitsUnavailable:
            refusal = Refusal("limits_unavailable", _RETRY_US)
        ruling = Ruling(True, "limits", "within the limits")
        decision = _decision(new_entry_id(), policy, request, ruling, refusal)
        judged = Judged(request=request, decision=decision, time_ns=time.time_ns())
        await self._journal.append(entries.decided(judged, policy, None, pending=False))
        self.verdicts[decision.verdict.name.lower()] += 1
        return decision

    async def end(self, told: Sequence[Ended]) -> list[bool]:
        """Closes decisions, all of them in one commit; False for one that is unknown or closed already.

        The first outcome stands. Raises `RecordUnavailable`: all of them wait for their outcome again. At most 1,024.
        """
        taken = [self.decisions.close(ended) for ended in told]  # before the wait: a second outcome finds it closed
        closed = [(judged, ended) for judged, ended in zip(taken, told, strict=True) if judged is not None]
        if closed:
            try:
                await self._journal.append_many([entries.ended(judged, ended.outcome) for judged, ended in closed])
            except RecordUnavailable:
                for judged, _ in closed:
                    self.decisions.reopen(judged)
                raise
            await self._settle(closed)
        return [judged is not None for judged in taken]

    async def progress(self, decision_id: str, bytes_sent: int, bytes_received: int) -> bool:
        """Counts an open tunnel's bytes so far (totals); True when its agent's tunnels have to be cut."""
        judged = self.decisions.find(decision_id)
        if judged is None or judged.outcome is not None:
            return False
        self.decisions.alive(judged)
        new = self._new_bytes(judged, bytes_sent, bytes_received)
        return await self._count_bytes(judged.request.agent, judged.request.agent_type, new)

    def overdue(self) -> list[str]:
        """Sandboxes with a tunnel that outlived its policy's `tunnel_lifetime`: to be cut. Each tunnel is told once."""
        now_ns = time.time_ns()
        late = [
            judged for judged in self.decisions.open_tunnels() if not judged.cut and self._is_overdue(judged, now_ns)
        ]
        for judged in late:
            judged.cut = True
        return sorted({judged.request.sandbox for judged in late if judged.request.sandbox})

    def get(self, decision_id: str, sandbox: str = "") -> Judged | None:
        """The decision of that id, where `sandbox` is empty or asked for it."""
        judged = self.decisions.find(decision_id)
        return judged if judged is not None and sandbox in ("", judged.request.sandbox) else None

    def recent(self, sandbox: str) -> list[Judged]:
        """The sandbox's latest refusals and silently ended tunnels, newest first; at most 50."""
        return self.decisions.recent(sandbox)

    async def close_abandoned(self) -> None:
        """Closes decisions whose outcome never came, for ever."""
        while True:
            await asyncio.sleep(min(_SWEEP_S, self._outcome_wait_s / 4))
            try:
                while abandoned := self.decisions.abandoned(self._outcome_wait_s, _AT_ONCE):
                    await self.end([Ended(judged.decision.decision_id, Outcome.unknown()) for judged in abandoned])
            except RecordUnavailable as error:
                log.warning("abandoned decisions stay open", extra={"error": str(error)})

    def _is_overdue(self, judged: Judged, now_ns: int) -> bool:
        lifetime_s = self._catalogue.rules(judged.request.agent_type).policy.limits.tunnel_lifetime_s
        return lifetime_s > 0 and now_ns - judged.time_ns > lifetime_s * 1e9

    def _name(self, request: Request, ruling: Ruling) -> Refusal | None:
        """Counts a name that passes by more than its own place in the policy."""
        spelt_out = ruling.rule == f"allowed_domains:{ruling.host}"
        return None if spelt_out else self._names.take(request.agent, ruling.host)

    async def _count(self, request: Request, limits: Limits, decision_id: str) -> Refusal | None:
        tunnel = decision_id if request.method == "CONNECT" else ""
        lease, _, ticket = request.lease.rpartition(".")
        try:
            if lease and ticket.isdecimal() and len(ticket) <= _TICKET_DIGITS:
                refusal = await self._limits.redeem(
                    request.agent, limits, lease=lease, ticket=int(ticket), tunnel=tunnel
                )
                if refusal is None or refusal.rule != "lease":
                    return refusal
            return await self._limits.take(request.agent, limits, tunnel=tunnel)
        except LimitsUnavailable as error:
            log.warning("limits cannot be counted: refused", extra={"error": str(error)})
            return Refusal("limits_unavailable", _RETRY_US)

    async def _settle(self, closed: Sequence[tuple[Judged, Ended]]) -> None:
        """What follows from ends that are on the record; an agent's bytes are counted together."""
        new: Counter[tuple[str, str]] = Counter()
        for judged, ended in closed:
            await self._close_tunnel(judged)
            whose = judged.request.agent, judged.request.agent_type
            new[whose] += self._new_bytes(judged, ended.outcome.bytes_sent, ended.outcome.bytes_received)
            if ended.outcome.refused:
                self.decisions.add_refusal(judged)
        for (agent, agent_type), amount in new.items():
            await self._count_bytes(agent, agent_type, amount)

    async def _close_tunnel(self, judged: Judged) -> None:
        if judged.request.method != "CONNECT" or judged.decision.verdict is not Verdict.ALLOW:
            return
        try:
            await self._limits.close_tunnel(judged.request.agent, judged.decision.decision_id)
        except LimitsUnavailable as error:
            log.warning("an ended tunnel counts until its lifetime is over", extra={"error": str(error)})

    def _new_bytes(self, judged: Judged, sent: int, received: int) -> int:
        """What these totals have more than the last ones."""
        new_sent = max(0, sent - judged.sent_counted)
        new_received = max(0, received - judged.received_counted)
        judged.sent_counted += new_sent
        judged.received_counted += new_received
        self.traffic.passed(judged.request.sandbox, new_sent, new_received)
        return new_sent + new_received

    async def _count_bytes(self, agent: str, agent_type: str, amount: int) -> bool:
        """Counts bytes that passed; True when the agent's tunnels have to be cut."""
        if not amount:
            return False
        try:
            return await self._limits.add_bytes(agent, self._catalogue.rules(agent_type).policy.limits, amount)
        except LimitsUnavailable as error:
            log.warning("bytes were not counted", extra={"error": str(error), "bytes": amount})
            return False


def _decision(decision_id: str, policy: Policy, request: Request, ruling: Ruling, refusal: Refusal | None) -> Decision:
    decision = Decision(
        decision_id=decision_id,
        verdict=Verdict.ALLOW if ruling.allowed else Verdict.DENY,
        rule=ruling.rule,
        reason=ruling.reason,
        policy=policy.agent_type,
        policy_version=policy.version,
        canonical_host=ruling.host,
        port=request.port,
        reported=ruling.reported,
    )
    if refusal is None:
        return decision
    retry_after_s = refusal.retry_after_us / 1e6
    return replace(
        decision,
        verdict=Verdict.LIMIT,
        rule=refusal.rule,
        reason=_limit_reason(refusal.rule, policy.limits, retry_after_s),
        retry_after_s=retry_after_s,
        reported=False,
    )


def _limit_reason(rule: str, limits: Limits, retry_after_s: float) -> str:
    texts = {
        "requests_per_minute": f"{limits.requests_per_minute} requests a minute, {limits.burst_size} at once",
        "requests_per_hour": f"{limits.requests_per_hour} requests an hour",
        "max_tunnels": f"{limits.max_tunnels} tunnels at once",
        "bytes_per_hour": f"{limits.bytes_per_hour} bytes an hour",
        "names_per_minute": "how many names that the policy does not spell out are looked up in a minute",
        "limits_unavailable": "what can be counted, and the engine that counts does not answer",
    }
    return f"the limit is {texts[rule]}; try again in {max(retry_after_s, 0.001):.3g} s"
