"""Limits in this process: one service counts alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from stockade_network_policy.domain import limits as counting
from stockade_network_policy.domain.limits import Counters, Refusal, Usage
from stockade_network_policy.domain.policy import Limits

_SWEEP_EVERY = 4096  # calls between two looks for agents that nothing is counted of any more


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class MemoryLimits:
    """See `LimitStore`. No method waits, so each is atomic on the event loop."""

    def __init__(self, clock_us: Callable[[], int] = wall_clock_us) -> None:
        self._now = clock_us
        self._agents: dict[str, tuple[Counters, Limits]] = {}
        self._calls = 0

    @property
    def degraded(self) -> bool:
        """See `LimitStore`."""
        return False

    async def take(self, agent: str, limits: Limits, *, tunnel: str = "", count: int = 1) -> Refusal | None:
        """See `LimitStore`."""
        return counting.take(self._counters(agent, limits), limits, self._now(), tunnel, count)

    async def lend(
        self, agent: str, limits: Limits, *, lease: str, tokens: int, lifetime_us: int
    ) -> tuple[int, Refusal | None]:
        """See `LimitStore`."""
        now = self._now()
        counters = self._counters(agent, limits)
        return counting.lend(counters, limits, now, lease=lease, tokens=tokens, expire_us=now + lifetime_us)

    async def redeem(self, agent: str, limits: Limits, *, lease: str, ticket: int, tunnel: str = "") -> Refusal | None:
        """See `LimitStore`."""
        counters = self._counters(agent, limits)
        return counting.redeem(counters, limits, self._now(), lease=lease, ticket=ticket, tunnel=tunnel)

    async def reclaim(self, agent: str, limits: Limits, lease: str, *, spend: bool = False) -> int:
        """See `LimitStore`."""
        return counting.reclaim(self._counters(agent, limits), limits, self._now(), lease, spend=spend)

    async def close_tunnel(self, agent: str, tunnel: str) -> None:
        """See `LimitStore`."""
        if agent in self._agents:
            self._agents[agent][0].tunnels.pop(tunnel, None)

    async def add_bytes(self, agent: str, limits: Limits, amount: int) -> bool:
        """See `LimitStore`."""
        return counting.add_bytes(self._counters(agent, limits), limits, amount, self._now())

    async def usage(self, agent: str, limits: Limits) -> Usage:
        """See `LimitStore`."""
        return counting.usage(self._counters(agent, limits), limits, self._now())

    async def close(self) -> None:
        """See `LimitStore`."""

    def _counters(self, agent: str, limits: Limits) -> Counters:
        self._calls += 1
        if self._calls % _SWEEP_EVERY == 0:
            self._sweep()
        known = self._agents.get(agent)
        if known is not None and known[1] is limits:
            return known[0]
        counters = known[0] if known else Counters()
        self._agents[agent] = (counters, limits)
        return counters

    def _sweep(self) -> None:
        """Forgets agents of whom nothing is counted any more, so that rotating names cost no memory."""
        now = self._now()
        for counters, limits in self._agents.values():
            counters.advance(limits, now)
        self._agents = {agent: known for agent, known in self._agents.items() if not known[0].idle()}
