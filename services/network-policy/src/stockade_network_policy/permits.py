"""Permits for messages: the limits that hold, and the counting."""

from __future__ import annotations

from dataclasses import dataclass

from stockade_rpckit import threads

from stockade_network_policy.domain.errors import LimitsUnavailable
from stockade_network_policy.domain.limits import Refusal
from stockade_network_policy.domain.permits import Key, MessageLimit, counted_as, limit_for
from stockade_network_policy.domain.policy import Limits
from stockade_network_policy.domain.ports import LimitStore, MessageLimitStore


@dataclass(frozen=True, slots=True)
class Permits:
    """The answer to one request for permits: all, or none and for how long."""

    limit: MessageLimit
    refusal: Refusal | None
    burst_left: int


class Messages:
    """Answers whether an agent may send messages."""

    def __init__(self, store: MessageLimitStore, counting: LimitStore) -> None:
        self._store = store
        self._counting = counting
        self._limits: dict[Key, MessageLimit] = {}

    async def acquire(self, *, agent: str, agent_type: str, message_type: str, permits: int) -> Permits:
        """Takes the permits, all or none. Raises LimitsUnavailable."""
        limit = limit_for(self._limits, message_type, agent_type)
        name, limits = counted_as(agent, limit), limit.limits()
        refusal = await self._counting.take(name, limits, count=permits)
        return Permits(limit, refusal, await self._left(name, limits))

    async def _left(self, name: str, limits: Limits) -> int:
        """What could be had at once; 0 where nobody says: the permits are taken, whatever comes of this question."""
        try:
            return (await self._counting.usage(name, limits)).burst_left
        except LimitsUnavailable:
            return 0

    async def set(self, limit: MessageLimit) -> None:
        """Sets a limit; in force when this returns. What was counted stays."""
        await threads.run(self._store.put, limit)
        await self.refresh()

    def all(self) -> list[MessageLimit]:
        """Every limit that was set, by message type, then agent type."""
        return [self._limits[key] for key in sorted(self._limits)]

    async def refresh(self) -> None:
        """Takes over what the store has now."""
        self._limits = {limit.key: limit for limit in await threads.run(self._store.all)}
