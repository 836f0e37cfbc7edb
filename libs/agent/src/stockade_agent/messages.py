"""Limits of the messages that agents send each other: permits, taken a few ahead while messages keep coming.

limiter = MessageLimiter(stockade)
permit = await limiter.acquire("task.handoff")
if permit.granted:
    ...
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stockade.networkpolicy.v1 import limit_service_pb2 as pb
from stockade.networkpolicy.v1 import limit_service_pb2_grpc

if TYPE_CHECKING:
    from stockade_agent.client import AsyncStockade

AHEAD = 64  # permits taken at once at most
_KEPT_SECONDS = 1.0  # a permit that was not used by then is let go: kept longer, it would widen the burst


class Permit(NamedTuple):
    """Whether a message may be sent, and else when to try again."""

    granted: bool
    rule: str
    retry_after_s: float = 0.0


@dataclass(slots=True)
class _Stock:
    permit: Permit
    left: int = 0
    until_s: float = 0.0
    batch: int = 1


class MessageLimiter:
    """Permits of one agent. Use it from one event loop."""

    def __init__(self, stockade: AsyncStockade, *, agent: str = "", agent_type: str = "") -> None:
        """`agent` and `agent_type` are empty for an agent that speaks for itself."""
        self._agent = agent
        self._agent_type = agent_type
        self._service = stockade.stub(limit_service_pb2_grpc.LimitServiceStub, "policy")
        self._stocks: dict[str, _Stock] = {}

    def take(self, message_type: str) -> Permit | None:
        """A permit that was taken ahead; None where the service has to be asked."""
        stock = self._stocks.get(message_type)
        if stock is None or stock.left == 0 or time.monotonic() >= stock.until_s:
            return None
        stock.left -= 1
        return stock.permit

    async def acquire(self, message_type: str) -> Permit:
        """A permit for one message. Raises grpc.RpcError where the service does not answer."""
        return self.take(message_type) or await self._ask(message_type)

    async def _ask(self, message_type: str) -> Permit:
        """Takes twice as many as the last time while those were used up in time, else one."""
        stock = self._stocks.setdefault(message_type, _Stock(Permit(True, "")))
        used_up = stock.left == 0 and time.monotonic() < stock.until_s
        stock.batch = min(AHEAD, stock.batch * 2) if used_up else 1
        answer = await self._acquire(message_type, stock.batch)
        if not answer.granted and 0 < answer.burst_left < stock.batch:
            stock.batch = answer.burst_left
            answer = await self._acquire(message_type, stock.batch)
        if not answer.granted:
            return Permit(False, answer.rule, answer.retry_after.ToNanoseconds() / 1e9)
        stock.permit = Permit(True, answer.rule)
        stock.left, stock.until_s = stock.batch - 1, time.monotonic() + _KEPT_SECONDS
        return stock.permit

    async def _acquire(self, message_type: str, permits: int) -> pb.AcquirePermitsResponse:
        request = pb.AcquirePermitsRequest(
            agent=self._agent, agent_type=self._agent_type, message_type=message_type, permits=permits
        )
        answer: pb.AcquirePermitsResponse = await self._service.AcquirePermits(request)
        return answer
