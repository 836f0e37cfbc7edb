"""Limits whose engine may be away: what the operator chose holds then, and nobody waits for it twice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from stockade_rpckit.logs import get_logger

from stockade_network_policy.domain.errors import LimitsUnavailable
from stockade_network_policy.domain.limits import Refusal, Usage
from stockade_network_policy.domain.policy import Limits
from stockade_network_policy.domain.ports import LimitStore

log = get_logger(__name__)

T = TypeVar("T")
_ANY = Limits(requests_per_minute=1, requests_per_hour=1, burst_size=1)
PAUSE_SECONDS = 0.5  # after a failure, how long the engine is left alone


class GuardedLimits:
    """See `LimitStore`. While `engine` is away, `local` counts at `share` of each limit, or with None all is refused.

    Leases are not lent then, and those lent before are redeemed as ordinary requests.
    """

    def __init__(self, engine: LimitStore, local: LimitStore | None, share: float) -> None:
        self._engine = engine
        self._local = local
        self._share = share
        self._away_until = 0.0

    @property
    def degraded(self) -> bool:
        """See `LimitStore`."""
        return self._away or self._engine.degraded

    @property
    def _away(self) -> bool:
        return self._away_until > 0.0

    async def take(self, agent: str, limits: Limits, *, tunnel: str = "", count: int = 1) -> Refusal | None:
        """See `LimitStore`."""
        return await self._either(
            lambda: self._engine.take(agent, limits, tunnel=tunnel, count=count),
            lambda local: local.take(agent, self._shared(limits), tunnel=tunnel, count=count),
        )

    async def lend(
        self, agent: str, limits: Limits, *, lease: str, tokens: int, lifetime_us: int
    ) -> tuple[int, Refusal | None]:
        """See `LimitStore`."""
        return await self._asked(
            lambda: self._engine.lend(agent, limits, lease=lease, tokens=tokens, lifetime_us=lifetime_us)
        )

    async def redeem(self, agent: str, limits: Limits, *, lease: str, ticket: int, tunnel: str = "") -> Refusal | None:
        """See `LimitStore`."""
        return await self._either(
            lambda: self._engine.redeem(agent, limits, lease=lease, ticket=ticket, tunnel=tunnel),
            lambda local: local.redeem(agent, self._shared(limits), lease=lease, ticket=ticket, tunnel=tunnel),
        )

    async def reclaim(self, agent: str, limits: Limits, lease: str, *, spend: bool = False) -> int:
        """See `LimitStore`."""
        return await self._asked(lambda: self._engine.reclaim(agent, limits, lease, spend=spend))

    async def close_tunnel(self, agent: str, tunnel: str) -> None:
        """See `LimitStore`."""
        if self._local:
            await self._local.close_tunnel(agent, tunnel)
        await self._asked(lambda: self._engine.close_tunnel(agent, tunnel))

    async def add_bytes(self, agent: str, limits: Limits, amount: int) -> bool:
        """See `LimitStore`."""
        return await self._either(
            lambda: self._engine.add_bytes(agent, limits, amount),
            lambda local: local.add_bytes(agent, self._shared(limits), amount),
        )

    async def usage(self, agent: str, limits: Limits) -> Usage:
        """See `LimitStore`."""
        return await self._either(
            lambda: self._engine.usage(agent, limits), lambda local: local.usage(agent, self._shared(limits))
        )

    async def watch(self) -> None:
        """Asks an engine that is away whether it is back, for ever: else only the next request would know."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if self._away:
                with contextlib.suppress(LimitsUnavailable):
                    await self._asked(lambda: self._engine.usage("", _ANY))

    async def close(self) -> None:
        """See `LimitStore`."""
        await self._engine.close()

    async def _either(self, engine: Callable[[], Awaitable[T]], local: Callable[[LimitStore], Awaitable[T]]) -> T:
        try:
            return await self._asked(engine)
        except LimitsUnavailable:
            if self._local is None:
                raise
            return await local(self._local)

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T:
        """Asks the engine, unless it was away a moment ago."""
        if time.monotonic() < self._away_until:
            raise LimitsUnavailable("the engine that counts was away a moment ago")
        try:
            answer = await call()
        except LimitsUnavailable as error:
            if not self._away:
                log.error("limits are degraded", extra={"error": str(error), "local": self._local is not None})
            self._away_until = time.monotonic() + PAUSE_SECONDS
            raise
        if self._away:
            log.info("limits are whole again")
        self._away_until = 0.0
        return answer

    def _shared(self, limits: Limits) -> Limits:
        """A replica's share of each limit, at least one."""
        share = self._share
        return replace(
            limits,
            requests_per_minute=max(1, int(limits.requests_per_minute * share)),
            requests_per_hour=max(1, int(limits.requests_per_hour * share)),
            burst_size=max(1, int(limits.burst_size * share)),
            max_tunnels=limits.max_tunnels and max(1, int(limits.max_tunnels * share)),
            bytes_per_hour=limits.bytes_per_hour and max(1, int(limits.bytes_per_hour * share)),
        )
