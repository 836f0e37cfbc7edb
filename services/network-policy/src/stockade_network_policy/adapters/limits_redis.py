"""Limits in Redis: many replicas count as one. Each operation is one Lua script on one key, timed by Redis itself.

An answer that comes too late is not heard: its request is refused, and what it took is given back as soon as Redis
answers again, by the take's own name and so exactly once, in whichever order the two arrive there.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from stockade_network_policy.domain.errors import LimitsUnavailable
from stockade_network_policy.domain.limits import Refusal, Usage
from stockade_network_policy.domain.policy import Limits

_SCRIPTS = Path(__file__).with_name("lua")
ANSWER_SECONDS = 0.08  # the judge's own promise is 100 ms
_TURN_SECONDS = 0.005  # a loop that is late finds the timer before the answer that lies in the socket: one turn more
_LATE_KEPT = 10_000  # takes waiting to be given back; what is beyond stays taken
_LATE_SECONDS = 20.0  # how long it is tried
_RETRY_SECONDS = 0.25
_CONNECTIONS = 8  # as many scripts as may be under way; Redis runs one at a time


class _NotAsked(LimitsUnavailable):
    """Nothing was sent."""


@dataclass(frozen=True, slots=True)
class _Late:
    """A take whose answer was not heard."""

    agent: str
    limits: Limits
    taken: tuple[str, int]  # tunnel, requests
    since_s: float


class RedisLimits:
    """See `LimitStore`. `clock_us` is for tests alone: without it Redis TIME is the clock."""

    def __init__(self, url: str, clock_us: Callable[[], int] | None = None, answer_s: float = ANSWER_SECONDS) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=answer_s,
            socket_timeout=10 * answer_s,  # `_answered` is who tells the time
            socket_connect_timeout=answer_s,
            retry=Retry(NoBackoff(), 0),  # the client's own retries turn 50 ms into seconds
            decode_responses=True,
            protocol=2,  # no greeting to wait for: a first call has as little time as any other
            driver_info=None,
        )
        self._redis = Redis.from_pool(pool)
        self._turns = asyncio.Semaphore(_CONNECTIONS)  # first come, first served: the pool's own waiting starves some
        self._failures = 0
        self._answer_s = answer_s
        self._clock_us = clock_us
        self._name, self._numbers = os.urandom(6).hex(), itertools.count()
        self._late: dict[str, _Late] = {}
        self._giving_back: asyncio.Task[None] | None = None
        names = ("take", "give_back", "lend", "redeem", "reclaim", "add_bytes", "usage")
        self._scripts = {name: self._redis.register_script(_source(name)) for name in names}

    @property
    def degraded(self) -> bool:
        """See `LimitStore`."""
        return False

    async def take(self, agent: str, limits: Limits, *, tunnel: str = "", count: int = 1) -> Refusal | None:
        """See `LimitStore`."""
        name = f"{self._name}.{next(self._numbers)}"
        try:
            rule, retry = await self._run("take", agent, limits, tunnel, count, named=name)
        except _NotAsked:
            raise
        except (LimitsUnavailable, asyncio.CancelledError):
            self._give_back_soon(name, _Late(agent, limits, (tunnel, count), time.monotonic()))
            raise
        return Refusal(rule, int(retry)) if rule else None

    async def lend(
        self, agent: str, limits: Limits, *, lease: str, tokens: int, lifetime_us: int
    ) -> tuple[int, Refusal | None]:
        """See `LimitStore`."""
        granted, rule, retry = await self._run("lend", agent, limits, lease, tokens, lifetime_us)
        return int(granted), Refusal(rule, int(retry)) if rule else None

    async def redeem(self, agent: str, limits: Limits, *, lease: str, ticket: int, tunnel: str = "") -> Refusal | None:
        """See `LimitStore`."""
        rule, retry = await self._run("redeem", agent, limits, lease, ticket, tunnel)
        return Refusal(rule, int(retry)) if rule else None

    async def reclaim(self, agent: str, limits: Limits, lease: str, *, spend: bool = False) -> int:
        """See `LimitStore`."""
        (returned,) = await self._run("reclaim", agent, limits, lease, int(spend))
        return int(returned)

    async def close_tunnel(self, agent: str, tunnel: str) -> None:
        """See `LimitStore`."""
        await self._answered(lambda: self._redis.hdel(_key(agent), f"t:{tunnel}"))

    async def add_bytes(self, agent: str, limits: Limits, amount: int) -> bool:
        """See `LimitStore`."""
        (over,) = await self._run("add_bytes", agent, limits, amount)
        return bool(int(over))

    async def usage(self, agent: str, limits: Limits) -> Usage:
        """See `LimitStore`."""
        burst, requests, tunnels, received, leased, retry, now = map(int, await self._run("usage", agent, limits))
        return Usage(
            burst_left=burst,
            requests_last_hour=requests,
            tunnels_open=tunnels,
            bytes_last_hour=received,
            tokens_on_lease=leased,
            retry_after_us=retry,
            as_of_us=now,
        )

    async def close(self) -> None:
        """See `LimitStore`."""
        if self._giving_back is not None:
            self._giving_back.cancel()
        await self._redis.aclose()

    def _give_back_soon(self, name: str, late: _Late) -> None:
        if len(self._late) < _LATE_KEPT:
            self._late[name] = late
        if self._giving_back is None or self._giving_back.done():
            self._giving_back = asyncio.get_running_loop().create_task(self._give_back())

    async def _give_back(self) -> None:
        """Undoes the takes that nobody heard the answer of, until none is left."""
        while self._late:
            name, late = next(iter(self._late.items()))
            try:
                await self._run("give_back", late.agent, late.limits, *late.taken, named=name)
            except LimitsUnavailable:
                if time.monotonic() - late.since_s < _LATE_SECONDS:
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
            del self._late[name]

    async def _run(self, script: str, agent: str, limits: Limits, *own: str | int, named: str = "") -> list[str]:
        run: AsyncScript = self._scripts[script]
        now = "" if self._clock_us is None else self._clock_us()
        keys = [_key(agent), f"{_key(agent)}:{named}"] if named else [_key(agent)]
        arguments = [now, *_arguments(limits), *own]
        answer: list[str] = await self._answered(lambda: run(keys=keys, args=arguments))
        return answer

    async def _answered(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Redis's answer within `answer_s` of its turn; whoever waits behind one that got none is turned away."""
        failures = self._failures
        async with self._turns:
            if self._failures != failures:
                raise _NotAsked("Redis did not answer those before")
            asked = asyncio.ensure_future(call())
            try:
                for patience_s in (self._answer_s, _TURN_SECONDS):
                    if (await asyncio.wait({asked}, timeout=patience_s))[0]:
                        return asked.result()
                raise TimeoutError
            except (RedisError, OSError, TimeoutError) as error:
                self._failures += 1
                raise LimitsUnavailable(f"Redis does not answer: {error or type(error).__name__}") from error
            finally:
                asked.cancel()  # and with it its connection, whose answer must not be another's


def _key(agent: str) -> str:
    return f"stockade:limits:{{{agent}}}"


def _arguments(limits: Limits) -> tuple[int, ...]:
    return (
        limits.requests_per_minute,
        limits.requests_per_hour,
        limits.burst_size,
        limits.max_tunnels,
        limits.bytes_per_hour,
        round(limits.tunnel_lifetime_s * 1e6),
    )


def _source(name: str) -> str:
    return "\n".join((_SCRIPTS / f"{part}.lua").read_text(encoding="utf-8") for part in ("counters", name))
