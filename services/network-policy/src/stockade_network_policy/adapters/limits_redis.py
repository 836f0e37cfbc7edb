"""Limits in Redis: many replicas count as one. Each operation is one Lua script on one slot, timed by Redis itself.

An answer that comes too late is not heard: its request is refused, and what it took is given back as soon as Redis
answers again, by the take's own name and so exactly once, in whichever order the two arrive there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from redis.asyncio.cluster import RedisCluster
from stockade_rpckit.logs import get_logger

from stockade_network_policy.adapters.redis_client import (
    AWAY,
    CONNECTIONS,
    NOEVICTION,
    evaluate,
    eviction_policy,
    open_client,
    refused,
)
from stockade_network_policy.domain.errors import LimitsRefused, LimitsUnavailable
from stockade_network_policy.domain.limits import Refusal, Usage
from stockade_network_policy.domain.policy import Limits

log = get_logger(__name__)

T = TypeVar("T")

_SCRIPTS = Path(__file__).with_name("lua")
ANSWER_SECONDS = 0.08  # the judge's own promise is 100 ms
_TURN_SECONDS = 0.005  # a loop that is late finds the timer before the answer that lies in the socket: one turn more
_LATE_KEPT = 10_000  # takes waiting to be given back; what is beyond stays taken
_LATE_SECONDS = 20.0  # how long it is tried
_RETRY_SECONDS = 0.25
_EVICTION_SECONDS = 30.0
_NAMES = ("take", "give_back", "lend", "redeem", "reclaim", "add_bytes", "usage")


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

    def __init__(
        self,
        url: str,
        clock_us: Callable[[], int] | None = None,
        answer_s: float = ANSWER_SECONDS,
        *,
        cluster: bool = False,
    ) -> None:
        self._redis = open_client(url, answer_s, cluster=cluster)
        self._turns = asyncio.Semaphore(CONNECTIONS)  # first come, first served: the pool's own waiting starves some
        self._failures = 0
        self._answer_s = answer_s
        self._clock_us = clock_us
        self._name, self._numbers = os.urandom(6).hex(), itertools.count()
        self._late: dict[str, _Late] = {}
        self._giving_back: asyncio.Task[None] | None = None
        self._mapping: asyncio.Future[RedisCluster] | None = None
        self._evicting = False
        sources = {name: _source(name) for name in _NAMES}
        self._scripts = {name: (hashlib.sha1(text.encode()).hexdigest(), text) for name, text in sources.items()}  # noqa: S324 - Redis' name of it

    @property
    def degraded(self) -> bool:
        """See `LimitStore`."""
        return self._evicting

    async def eviction_policy(self) -> str:
        """What Redis does when its memory is full; all but "noeviction" loses counts. Raises LimitsUnavailable."""
        policy: str = await self._answered(lambda: eviction_policy(self._redis))
        self._evicting = policy != NOEVICTION
        return policy

    async def watch_eviction(self) -> None:
        """Looks for ever whether Redis has been told to lose counts: nobody who tells it needs to ask us."""
        while True:
            await asyncio.sleep(_EVICTION_SECONDS)
            before = self._evicting
            with contextlib.suppress(LimitsUnavailable):
                policy = await self.eviction_policy()
                if self._evicting and not before:
                    log.error("Redis may lose what it counts: set noeviction", extra={"maxmemory_policy": policy})

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
        now = "" if self._clock_us is None else self._clock_us()
        keys = [_key(agent), f"{_key(agent)}:{named}"] if named else [_key(agent)]
        arguments = [now, *_arguments(limits), *own]
        sha, source = self._scripts[script]
        answer: list[str] = await self._answered(lambda: evaluate(self._redis, sha, source, keys, arguments))
        return answer

    async def _answered(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Redis's answer within `answer_s` of its turn; whoever waits behind one that got none is turned away."""
        failures = self._failures
        async with self._turns:
            if self._failures != failures:
                raise _NotAsked("Redis did not answer those before")
            asked = _heard(self._asked(call))
            try:
                for patience_s in (self._answer_s, _TURN_SECONDS):
                    if (await asyncio.wait({asked}, timeout=patience_s))[0]:
                        return asked.result()
                raise TimeoutError
            except AWAY as error:
                self._failures += 1
                if refused(error):
                    raise LimitsRefused(f"Redis does not let us in: {error}") from error
                raise LimitsUnavailable(f"Redis does not answer: {error or type(error).__name__}") from error
            finally:
                asked.cancel()  # and with it its connection, whose answer must not be another's

    async def _asked(self, call: Callable[[], Awaitable[Any]]) -> Any:
        if isinstance(self._redis, RedisCluster):
            await self._mapped(self._redis)
        return await call()

    async def _mapped(self, cluster: RedisCluster) -> None:
        """Who has which slots: asked beside the requests, since it may take longer than any of them has."""
        if self._mapping is None or self._mapping.done():
            self._mapping = _heard(cluster.initialize())
        await asyncio.shield(self._mapping)


def _heard(work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
    """Work whose failure may come when nobody waits for it any more, and is no news then."""
    future = asyncio.ensure_future(work)
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def _key(agent: str) -> str:
    """All that is counted of an agent, its messages too, lies in one slot of a cluster."""
    owner, slash, what = agent.partition("/")
    return f"stockade:limits:{{{owner}}}{slash}{what}"


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
