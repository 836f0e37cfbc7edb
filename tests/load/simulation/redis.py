"""A Redis as its callers see it: how long it takes, when it is away, how often it is asked."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from load.simulation.clock import Clock

# A round trip within a data centre: half within 0.3 ms, one in a hundred above 1.5 ms, one in ten thousand above 4.
MEDIAN_S, SIGMA = 0.0003, 0.7


class Redis:
    """It may stand still, as at a fail-over: nothing is lost then, and nothing answered."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock, self.calls = clock, Counter[str]()
        self._rng, self._still_until = rng, 0.0

    def pause(self, seconds: float) -> None:
        """Stand still from now on, for so long at least."""
        self._still_until = max(self._still_until, self.clock.now + seconds)

    def answer_s(self) -> float:
        """How long the answer to what is asked now takes."""
        still_s = max(0.0, self._still_until - self.clock.now)
        return still_s + self._rng.lognormvariate(0.0, SIGMA) * MEDIAN_S


class Remote:
    """An adapter in memory as if it lay in that Redis: its methods count, and fail where the answer comes too late.

    `patience_s` and `away` are the real adapter's.
    """

    def __init__(self, engine: Any, redis: Redis, patience_s: float, away: Callable[[], Exception]) -> None:
        self._engine, self._redis, self._patience_s, self._away = engine, redis, patience_s, away
        self.degraded = False

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        ask = getattr(self._engine, name)

        async def asked(*given: Any, **named: Any) -> Any:
            self._redis.calls[name] += 1
            if self._redis.answer_s() > self._patience_s:
                raise self._away()
            return await ask(*given, **named)

        return asked
