"""Decisions in-process: a policy snapshot and tokens on lease, reported in batches; the service decides the rest.

async with LocalDecider(stockade.channel("policy"), agent_type="test-generator") as decider:
    decision = await decider.check("packages.npmjs.org")
    if decision.allowed:
        ...  # send `x-stockade-lease: {decision.lease}` to the gate, which then takes the ticket and no new token
        decider.record(decision, status=200, bytes_received=1234)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import grpc
from stockade.networkpolicy.v1 import decision_service_pb2 as decisions_pb
from stockade.networkpolicy.v1 import (
    decision_service_pb2_grpc,
    lease_service_pb2,
    lease_service_pb2_grpc,
    policy_service_pb2,
    policy_service_pb2_grpc,
)

from stockade_agent.policy import LocalPolicy

if TYPE_CHECKING:
    from types import TracebackType

    from stockade_agent.client import AsyncStockade

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0  # how long a decision waits at least until it is reported
_MOST_IN_A_REPORT = 1000
_MARGIN = 0.2  # of a lease's life in which it is not used any more, so that all it decided can still be reported
_GONE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)
_REST_SECONDS = 1.0  # between two tries where nothing could be lent

_Made = tuple[int, str, int, str, int]
"""A decision made here: ticket (-1: refused), host, port, rule, time in nanoseconds since the epoch."""


class LocalDecision(NamedTuple):
    """What a request got."""

    allowed: bool
    rule: str
    reason: str
    lease: str = ""  # `<lease>.<ticket>` of a request allowed here
    decision_id: str = ""  # of a decision that the service made
    retry_after_s: float = 0.0  # where a limit refused
    reported: bool = False  # allowed only because the policy's mode is REPORT


@dataclass(slots=True)
class _Lease:
    """Tokens on loan, and what was decided by them and not yet reported."""

    lease_id: str
    tokens: int
    until_s: float  # by the monotonic clock
    policy_version: int
    next_ticket: int = 0
    made: list[_Made] = field(default_factory=list)
    outcomes: dict[int, decisions_pb.RequestOutcome] = field(default_factory=dict)


class LocalDecider:
    """Decides one agent's requests. Use it from one event loop, as an async context manager."""

    def __init__(self, stockade: AsyncStockade, *, agent_type: str, agent: str = "", tokens: int = 100) -> None:
        """`agent` is empty for an agent that speaks for itself; `tokens` is how many to lease at a time."""
        self._agent = agent
        self._agent_type = agent_type
        self._tokens = tokens
        self._decisions = stockade.stub(decision_service_pb2_grpc.DecisionServiceStub, "policy")
        self._leases = stockade.stub(lease_service_pb2_grpc.LeaseServiceStub, "policy")
        self._policies = stockade.stub(policy_service_pb2_grpc.PolicyServiceStub, "policy")
        self._policy: LocalPolicy | None = None
        self._lease: _Lease | None = None
        self._ending: list[_Lease] = []
        self._asked: list[decisions_pb.RecordRequestRequest] = []
        self._not_before_s = 0.0
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> LocalDecider:
        await self._renew()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._keep())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._retire()
        for lease in self._ending:
            lease.until_s = 0.0
        with contextlib.suppress(grpc.RpcError):  # what was not reported is closed as unknown by the service
            await self._report()

    def decide(self, host: str, port: int = 443) -> LocalDecision | None:
        """The decision where it can be made here; None where the service has to be asked: `check` does both."""
        lease, policy = self._lease, self._policy
        if lease is None or policy is None or time.monotonic() >= lease.until_s:
            self._wake.set()
            return None
        verdict = policy.decide(host, port)
        if verdict is None:
            return None
        allowed, rule, reason = verdict
        if not allowed:
            lease.made.append((-1, host, port, rule, time.time_ns()))
            return LocalDecision(False, rule, reason)
        ticket = lease.next_ticket
        if ticket >= lease.tokens:
            self._wake.set()
            return None
        lease.next_ticket = ticket + 1
        lease.made.append((ticket, host, port, rule, time.time_ns()))
        return LocalDecision(True, rule, reason, f"{lease.lease_id}.{ticket}")

    async def check(self, host: str, port: int = 443, method: str = "GET") -> LocalDecision:
        """The decision, made here or by the service. Raises grpc.RpcError where the service does not answer."""
        return self.decide(host, port) or await self._ask(host, port, method)

    def record(self, decision: LocalDecision, *, status: int, bytes_sent: int = 0, bytes_received: int = 0) -> None:
        """Says how an allowed request ended; told to the service with the next report."""
        outcome = decisions_pb.RequestOutcome(status=status, bytes_sent=bytes_sent, bytes_received=bytes_received)
        if decision.decision_id:
            self._asked.append(decisions_pb.RecordRequestRequest(decision_id=decision.decision_id, outcome=outcome))
            return
        lease_id, _, ticket = decision.lease.rpartition(".")
        for lease in (self._lease, *self._ending):
            if lease is not None and lease.lease_id == lease_id:
                lease.outcomes[int(ticket)] = outcome

    async def _ask(self, host: str, port: int, method: str) -> LocalDecision:
        asked = decisions_pb.RequestToCheck(
            agent=self._agent, agent_type=self._agent_type, host=host, port=port, method=method
        )
        answer = await self._decisions.CheckRequest(decisions_pb.CheckRequestRequest(request=asked))
        decision = answer.decision
        return LocalDecision(
            allowed=decision.verdict == decisions_pb.VERDICT_ALLOW,
            rule=decision.rule,
            reason=decision.reason,
            decision_id=decision.decision_id,
            retry_after_s=decision.retry_after.ToNanoseconds() / 1e9,
            reported=decision.reported,
        )

    async def _follow(self) -> None:
        """Takes over each new snapshot; while the service is away, the last one holds until it expires."""
        request = policy_service_pb2.WatchPoliciesRequest(agent_type=self._agent_type)
        while True:
            with contextlib.suppress(grpc.RpcError):
                async for answer in self._policies.WatchPolicies(request):
                    self._policy = LocalPolicy(answer.snapshot)
            await asyncio.sleep(_REST_SECONDS)

    async def _keep(self) -> None:
        """Reports, and keeps a lease while there is something to decide."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), REPORT_SECONDS)
            wanted = self._wake.is_set()
            self._wake.clear()
            lease = self._lease
            if lease is not None and (lease.next_ticket >= lease.tokens or time.monotonic() >= lease.until_s):
                wanted = wanted or lease.next_ticket > 0
                self._retire()
            if self._lease is None and wanted:
                await self._renew()
            try:
                await self._report()
            except grpc.RpcError as error:
                log.warning("decisions wait to be reported: %s", error)

    async def _renew(self) -> None:
        """Takes a new lease; without one, the service is asked for each request."""
        if time.monotonic() < self._not_before_s:
            return
        request = lease_service_pb2.LeaseQuotaRequest(
            agent=self._agent, agent_type=self._agent_type, tokens=self._tokens
        )
        asked_s = time.monotonic()
        try:
            answer = await self._leases.LeaseQuota(request)
        except grpc.RpcError:
            self._not_before_s = time.monotonic() + _REST_SECONDS
            return
        self._policy = policy = LocalPolicy(answer.snapshot)
        life_s = (answer.lease.expire_time.ToNanoseconds() - time.time_ns()) / 1e9
        self._lease = _Lease(
            lease_id=answer.lease.lease_id,
            tokens=answer.lease.tokens,
            until_s=asked_s + life_s * (1 - _MARGIN),
            policy_version=policy.version,
        )

    def _retire(self) -> None:
        """Decides by the lease no more; requests under way may still tell how they end, until its time is up."""
        if self._lease is not None:
            self._ending.append(self._lease)
            self._lease = None

    async def _report(self) -> None:
        """Reports what has ended, and everything of leases whose time is up, which are then given back.

        A lease that the service does not know any more, as after its restart, it has closed as unknown: it is dropped.
        """
        await self._report_asked()
        for lease in (self._lease, *self._ending):
            if lease is None:
                continue
            try:
                await self._settle(lease)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _GONE:
                    raise
                log.warning("a lease is gone, and what was decided by it and not reported: %s", error)
                self._drop(lease)

    async def _settle(self, lease: _Lease) -> None:
        over = lease is not self._lease and time.monotonic() >= lease.until_s
        await self._report_lease(lease, everything=over)
        if over:
            await self._leases.ReturnLease(lease_service_pb2.ReturnLeaseRequest(lease_id=lease.lease_id))
            self._drop(lease)

    def _drop(self, lease: _Lease) -> None:
        if lease is self._lease:
            self._lease = None
        else:
            self._ending.remove(lease)

    async def _report_asked(self) -> None:
        records, self._asked = self._asked[:_MOST_IN_A_REPORT], self._asked[_MOST_IN_A_REPORT:]
        if not records:
            return
        try:
            await self._decisions.BatchRecordRequests(decisions_pb.BatchRecordRequestsRequest(records=records))
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                self._asked[:0] = records
            raise

    async def _report_lease(self, lease: _Lease, *, everything: bool) -> None:
        ended = [made for made in lease.made if everything or made[0] < 0 or made[0] in lease.outcomes]
        for start in range(0, len(ended), _MOST_IN_A_REPORT):
            batch = ended[start : start + _MOST_IN_A_REPORT]
            request = lease_service_pb2.ReportDecisionsRequest(
                lease_id=lease.lease_id, decisions=[_told(lease, made) for made in batch]
            )
            await self._leases.ReportDecisions(request)
            reported = set(batch)
            for ticket, *_ in batch:
                lease.outcomes.pop(ticket, None)
            lease.made = [made for made in lease.made if made not in reported]


def _told(lease: _Lease, made: _Made) -> lease_service_pb2.LocalDecision:
    ticket, host, port, rule, time_ns = made
    told = lease_service_pb2.LocalDecision(
        request=decisions_pb.RequestToCheck(host=host, port=port),
        verdict=decisions_pb.VERDICT_DENY if ticket < 0 else decisions_pb.VERDICT_ALLOW,
        rule=rule,
        policy_version=lease.policy_version,
    )
    told.decide_time.FromNanoseconds(time_ns)
    if ticket >= 0:
        told.ticket = ticket
    if (outcome := lease.outcomes.get(ticket)) is not None:
        told.outcome.CopyFrom(outcome)
    return told
