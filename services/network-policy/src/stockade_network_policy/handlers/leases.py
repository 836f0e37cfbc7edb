"""LeaseService: lends tokens of an agent's limits, takes reports, takes back what was not used."""

from __future__ import annotations

from typing import Any

from stockade.networkpolicy.v1 import decision_service_pb2 as decisions_pb
from stockade.networkpolicy.v1 import lease_service_pb2 as pb
from stockade.networkpolicy.v1 import lease_service_pb2_grpc
from stockade_rpckit.identity import PrincipalKind, current_principal
from stockade_rpckit.recording import current_record

from stockade_network_policy.domain.decision import Request, Verdict
from stockade_network_policy.handlers import messages
from stockade_network_policy.handlers.callers import subject
from stockade_network_policy.leases import Lease, Leases, Reported
from stockade_network_policy.snapshots import Snapshots


class LeaseHandler(lease_service_pb2_grpc.LeaseServiceServicer):
    """See the contract."""

    def __init__(self, leases: Leases, snapshots: Snapshots) -> None:
        self._leases = leases
        self._snapshots = snapshots

    async def LeaseQuota(self, request: pb.LeaseQuotaRequest, _context: Any) -> pb.LeaseQuotaResponse:
        """See the contract."""
        whose = subject(request.agent, request.agent_type)
        lease = await self._leases.lend(
            agent=whose.agent, agent_type=whose.agent_type, sandbox=whose.sandbox, tokens=request.tokens
        )
        current_record().skip()
        message = pb.Lease(
            lease_id=lease.lease_id,
            agent=lease.agent,
            tokens=lease.tokens,
            expire_time=messages.timestamp(lease.expire_ns),
        )
        return pb.LeaseQuotaResponse(lease=message, snapshot=self._snapshots.take(whose.agent_type, whose.sandbox))

    async def ReturnLease(self, request: pb.ReturnLeaseRequest, _context: Any) -> pb.ReturnLeaseResponse:
        """See the contract."""
        lease = self._lease(request.lease_id)
        if not lease.ended:
            current_record().skip()
        return pb.ReturnLeaseResponse(returned=await self._leases.give_back(lease))

    async def ReportDecisions(self, request: pb.ReportDecisionsRequest, _context: Any) -> pb.ReportDecisionsResponse:
        """See the contract."""
        lease = self._lease(request.lease_id)
        reported = [_reported(lease, told) for told in request.decisions]
        recorded = await self._leases.report(lease, reported)
        if recorded:
            current_record().skip()
        return pb.ReportDecisionsResponse(recorded=recorded, recorded_before=len(reported) - recorded)

    def _lease(self, lease_id: str) -> Lease:
        caller = current_principal()
        return self._leases.get(lease_id, caller.name if caller.kind is PrincipalKind.AGENT else "")


def _reported(lease: Lease, told: pb.LocalDecision) -> Reported:
    asked = told.request
    request = Request(
        agent=lease.agent,
        agent_type=lease.agent_type,
        sandbox=lease.sandbox,
        method=asked.method or "GET",
        host=asked.host,
        port=asked.port or 443,
    )
    return Reported(
        request=request,
        verdict=Verdict(decisions_pb.Verdict.Name(told.verdict).removeprefix("VERDICT_")),
        rule=told.rule,
        policy_version=told.policy_version,
        time_ns=told.decide_time.ToNanoseconds(),
        ticket=told.ticket if told.HasField("ticket") else None,
        outcome=messages.read_outcome(told.outcome) if told.HasField("outcome") else None,
    )
