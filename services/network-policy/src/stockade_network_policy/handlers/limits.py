"""LimitService: shows what has been counted."""

from __future__ import annotations

from typing import Any

from stockade.networkpolicy.v1 import limit_service_pb2 as pb
from stockade.networkpolicy.v1 import limit_service_pb2_grpc

from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.decisions import Decisions
from stockade_network_policy.domain.ports import LimitStore
from stockade_network_policy.handlers import messages
from stockade_network_policy.handlers.callers import subject


class LimitHandler(limit_service_pb2_grpc.LimitServiceServicer):
    """See the contract."""

    def __init__(self, catalogue: Catalogue, limits: LimitStore, decisions: Decisions) -> None:
        self._catalogue = catalogue
        self._limits = limits
        self._decisions = decisions

    async def GetLimitUsage(self, request: pb.GetLimitUsageRequest, _context: Any) -> pb.GetLimitUsageResponse:
        """See the contract."""
        whose = subject(request.agent, request.agent_type or self._decisions.type_of(request.agent))
        policy = self._catalogue.rules(whose.agent_type).policy
        usage = await self._limits.usage(whose.agent, policy.limits)
        return pb.GetLimitUsageResponse(
            agent=whose.agent,
            policy=policy.agent_type,
            limits=messages.limits_message(policy.limits),
            burst_left=usage.burst_left,
            requests_last_hour=usage.requests_last_hour,
            tunnels_open=usage.tunnels_open,
            bytes_last_hour=usage.bytes_last_hour,
            tokens_on_lease=usage.tokens_on_lease,
            retry_after=messages.duration(usage.retry_after_us / 1e6),
            as_of=messages.timestamp(usage.as_of_us * 1000),
        )
