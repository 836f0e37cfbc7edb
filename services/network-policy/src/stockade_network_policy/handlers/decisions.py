"""DecisionService: decides requests and takes their outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import decision_service_pb2_grpc
from stockade_rpckit.identity import PrincipalKind, current_principal
from stockade_rpckit.pace import Pace
from stockade_rpckit.recording import current_record
from stockade_rpckit.tracing import current_traceparent

from stockade_network_policy.decisions import Ended, Judged
from stockade_network_policy.domain.decision import Origin, Request
from stockade_network_policy.handlers import messages
from stockade_network_policy.handlers.callers import asker, subject
from stockade_network_policy.handlers.failures import caller_not_allowed, decision_not_found
from stockade_network_policy.judgement import Judgement
from stockade_network_policy.snapshots import Narrowing

_PORTS = {"http": 80, "https": 443, "": 443}
_SHOWN = 20
_AT_A_TIME = 64  # of a batch
_AGENT_PER_SECOND, _AGENT_BURST = 100, 1000  # as much as the gate lets pass of one sandbox, and one batch

Q = TypeVar("Q")
A = TypeVar("A")


class DecisionHandler(decision_service_pb2_grpc.DecisionServiceServicer):
    """See the contract."""

    def __init__(self, judgement: Judgement, narrowing: Narrowing) -> None:
        self._judgement = judgement
        self._narrowing = narrowing
        self._pace = Pace(_AGENT_PER_SECOND, _AGENT_BURST)

    async def CheckRequest(self, request: pb.CheckRequestRequest, _context: Any) -> pb.CheckRequestResponse:
        """See the contract."""
        return pb.CheckRequestResponse(decision=await self._check(request.request))

    async def BatchCheckRequests(
        self, request: pb.BatchCheckRequestsRequest, _context: Any
    ) -> pb.BatchCheckRequestsResponse:
        """See the contract."""
        decisions = await _each(self._check, request.requests)
        return pb.BatchCheckRequestsResponse(decisions=decisions)

    async def StreamCheckRequests(
        self, requests: AsyncIterator[pb.StreamCheckRequestsRequest], _context: Any
    ) -> AsyncIterator[pb.StreamCheckRequestsResponse]:
        """See the contract."""
        async for request in requests:
            yield pb.StreamCheckRequestsResponse(decision=await self._check(request.request))

    async def RecordRequest(self, request: pb.RecordRequestRequest, _context: Any) -> pb.RecordRequestResponse:
        """See the contract."""
        result = await self._record(request)
        if result == pb.RECORD_RESULT_NOT_FOUND:
            raise decision_not_found(request.decision_id)
        if result == pb.RECORD_RESULT_REFUSED:
            raise caller_not_allowed(f"{request.decision_id} was asked by the gate, which tells itself how it ended")
        return pb.RecordRequestResponse(recorded=result == pb.RECORD_RESULT_RECORDED)

    async def BatchRecordRequests(
        self, request: pb.BatchRecordRequestsRequest, _context: Any
    ) -> pb.BatchRecordRequestsResponse:
        """See the contract."""
        results = await _each(self._record, request.records)
        return pb.BatchRecordRequestsResponse(results=results)

    async def GetDecision(self, request: pb.GetDecisionRequest, _context: Any) -> pb.GetDecisionResponse:
        """See the contract."""
        judged = self._find(request.decision_id)
        if judged is None:
            raise decision_not_found(request.decision_id)
        return pb.GetDecisionResponse(record=messages.record_message(judged))

    async def ListDecisions(self, request: pb.ListDecisionsRequest, _context: Any) -> pb.ListDecisionsResponse:
        """See the contract."""
        sandbox = request.sandbox
        if current_principal().kind is PrincipalKind.AGENT:
            sandbox = subject("", "", request.sandbox).sandbox
        shown = self._judgement.recent(sandbox)[: request.page_size or _SHOWN]
        return pb.ListDecisionsResponse(records=map(messages.record_message, shown))

    async def _check(self, message: pb.RequestToCheck) -> pb.Decision:
        request = self._request(message)
        if (caller := current_principal()).kind is PrincipalKind.AGENT:
            await self._pace.turn(caller.sandbox)
        decision = await self._judgement.judge(request, asker())
        current_record().skip()
        judged = self._judgement.get(decision.decision_id)
        return messages.decision_message(decision, judged.time_ns if judged else 0)

    def _request(self, message: pb.RequestToCheck) -> Request:
        whose = subject(message.agent, message.agent_type, message.sandbox)
        return Request(
            agent=whose.agent,
            agent_type=whose.agent_type,
            sandbox=whose.sandbox,
            method=message.method or "GET",
            scheme=message.scheme,
            host=message.host,
            port=message.port or _PORTS[message.scheme],
            path=message.path,
            narrowing=self._narrowing(whose.sandbox) if whose.sandbox else None,
            traceparent=current_traceparent(),
        )

    async def _record(self, record: pb.RecordRequestRequest) -> pb.RecordResult:
        judged = self._find(record.decision_id)
        if judged is None:
            return pb.RECORD_RESULT_NOT_FOUND
        if judged.request.origin is Origin.GATE and current_principal().kind is PrincipalKind.AGENT:
            return pb.RECORD_RESULT_REFUSED
        (recorded,) = await self._judgement.end([Ended(record.decision_id, messages.read_outcome(record.outcome))])
        if recorded:
            current_record().skip()
        return pb.RECORD_RESULT_RECORDED if recorded else pb.RECORD_RESULT_CLOSED_BEFORE

    def _find(self, decision_id: str) -> Judged | None:
        """A decision that the caller may see: an agent, its own."""
        judged, caller = self._judgement.get(decision_id), current_principal()
        if judged is not None and caller.kind is PrincipalKind.AGENT and judged.request.agent != caller.name:
            return None
        return judged


async def _each(work: Callable[[Q], Awaitable[A]], questions: Sequence[Q]) -> list[A]:
    """Answers in the order of the questions, which are begun, and so counted, in their order.

    So many at a time that a batch neither waits for each to be durable nor keeps the loop from everyone else.
    """
    answers: list[A] = []
    for start in range(0, len(questions), _AT_A_TIME):
        answers += await asyncio.gather(*map(work, questions[start : start + _AT_A_TIME]))
    return answers
