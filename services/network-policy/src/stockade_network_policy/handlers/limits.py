"""LimitService: shows what has been counted, and gives permits for messages."""

from __future__ import annotations

from typing import Any

from stockade.networkpolicy.v1 import limit_service_pb2 as pb
from stockade.networkpolicy.v1 import limit_service_pb2_grpc
from stockade_rpckit.recording import current_record

from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.decisions import Decisions
from stockade_network_policy.domain.permits import MessageLimit
from stockade_network_policy.domain.ports import LimitStore
from stockade_network_policy.handlers import messages
from stockade_network_policy.handlers.callers import subject
from stockade_network_policy.handlers.paging import last_shown, page_token
from stockade_network_policy.permits import Messages


class LimitHandler(limit_service_pb2_grpc.LimitServiceServicer):
    """See the contract."""

    def __init__(self, catalogue: Catalogue, limits: LimitStore, decisions: Decisions, permits: Messages) -> None:
        self._catalogue = catalogue
        self._messages = permits
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

    async def AcquirePermits(self, request: pb.AcquirePermitsRequest, _context: Any) -> pb.AcquirePermitsResponse:
        """See the contract."""
        whose = subject(request.agent, request.agent_type)
        got = await self._messages.acquire(
            agent=whose.agent,
            agent_type=self._catalogue.plain_type(whose.agent_type),
            message_type=request.message_type,
            permits=request.permits or 1,
        )
        answer = pb.AcquirePermitsResponse(granted=got.refusal is None, burst_left=got.burst_left, rule=got.limit.rule)
        if got.refusal is not None:
            answer.retry_after.CopyFrom(messages.duration(got.refusal.retry_after_us / 1e6))
        return answer

    async def ListMessageLimits(
        self, request: pb.ListMessageLimitsRequest, _context: Any
    ) -> pb.ListMessageLimitsResponse:
        """See the contract."""
        last = last_shown(request.page_token, "message_limits")
        left = [limit for limit in self._messages.all() if "\0".join(limit.key) > last]
        page = left[: request.page_size or 100]
        return pb.ListMessageLimitsResponse(
            limits=map(_message_limit, page),
            next_page_token=page_token("message_limits", "\0".join(page[-1].key)) if len(left) > len(page) else "",
        )

    async def SetMessageLimit(self, request: pb.SetMessageLimitRequest, _context: Any) -> pb.SetMessageLimitResponse:
        """See the contract."""
        wanted = request.limit
        limit = MessageLimit(
            message_type=wanted.message_type,
            agent_type=self._catalogue.plain_type(wanted.agent_type),
            messages_per_minute=wanted.messages_per_minute,
            burst=wanted.burst,
        )
        await self._messages.set(limit)
        current_record().set(resource=f"message_limits/{limit.rule}", metadata={"burst": limit.burst})
        return pb.SetMessageLimitResponse(limit=_message_limit(limit))


def _message_limit(limit: MessageLimit) -> pb.MessageLimit:
    return pb.MessageLimit(
        message_type=limit.message_type,
        agent_type=limit.agent_type,
        messages_per_minute=limit.messages_per_minute,
        burst=limit.burst,
    )
