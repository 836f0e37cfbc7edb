"""Which node holds a sandbox, and whose it is: what lets a node speak for an agent.

The registry in Redis says it, in one hash for each living sandbox, and this module alone knows its form:

    stockade:placement:<sandbox id>    node, agent, agent_type, owner, expires_at (unix seconds)

The node's sandbox service writes it as part of a claim, before anybody may act in the sandbox, and deletes it when the
sandbox ends; the key's own expiry takes away what a dead node left. A placement is asked for, not carried
(decision 0008): there is no token to steal, to replay or to renew.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from stockade_rpckit import threads
from stockade_rpckit.logs import get_logger

log = get_logger(__name__)

FRESH_SECONDS = 5.0
"""An answer is not asked for again while it is younger."""
KEPT_SECONDS = 30.0
"""An answer stands so long while Redis is away; after that nobody is spoken for."""
ANSWER_SECONDS = 0.25
_AGAIN_SECONDS = 0.5  # how long Redis is left alone after it did not answer
_REMEMBERED = 100_000
_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a sandbox lives and whose it is. `owner` is who created it, `expires_at` its end in unix seconds."""

    node: str
    agent: str
    agent_type: str
    owner: str
    expires_at: int


class PlacementsUnavailable(Exception):
    """The registry does not answer, and what it last said is too old to go by."""


class Pipeline(Protocol):
    """What `place` and `remove` want of a pipeline of redis-py, blocking or asyncio: commands that queue."""

    def hset(self, name: str, *, mapping: Mapping[str, Any]) -> Any:
        """HSET."""

    def expire(self, name: str, time: int) -> Any:
        """EXPIRE."""

    def delete(self, *names: str) -> Any:
        """DEL."""


def key(sandbox: str) -> str:
    """The key of a sandbox's placement."""
    return f"stockade:placement:{sandbox}"


def place(pipeline: Pipeline, sandbox: str, placement: Placement, now_s: float | None = None) -> None:
    """Queue what places a sandbox, or renews its placement, on a pipeline that runs as one (MULTI).

    It outlives neither its sandbox nor its node: the expiry is a duration by the writer's own clock, so that a node
    whose clock is wrong still says how long it means. `now_s` is for tests: unix seconds.
    """
    left = placement.expires_at - (time.time() if now_s is None else now_s)
    pipeline.hset(key(sandbox), mapping=asdict(placement))
    pipeline.expire(key(sandbox), max(1, math.ceil(left)))


def remove(pipeline: Pipeline, *sandboxes: str) -> None:
    """Queue what ends the placements of sandboxes; of those that have none, nothing."""
    if sandboxes:
        pipeline.delete(*map(key, sandboxes))


class Placements:
    """Reads placements, each no oftener than every `FRESH_SECONDS`, however many calls ask."""

    def __init__(self, ask: Callable[[str], Mapping[str, str]], clock: Callable[[], float] = time.monotonic) -> None:
        """`ask` blocks: it returns the hash under a key, empty for none, and raises OSError while nobody answers."""
        self._ask = ask
        self._clock = clock
        self._known: OrderedDict[str, tuple[Placement, float]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Placement | None]] = {}
        self._away_until = -math.inf

    @classmethod
    def at(cls, url: str, clock: Callable[[], float] = time.monotonic) -> Placements:
        """The placements in the Redis at `url`: redis://, rediss:// or unix://. Raises ValueError for another URL."""
        return cls(_asker(url), clock)

    async def find(self, sandbox: str) -> Placement | None:
        """Where a sandbox is placed; None for one that is nowhere. Raises PlacementsUnavailable."""
        known, since = self._known.get(sandbox, (None, -math.inf))
        if known is not None and self._clock() - since < FRESH_SECONDS:
            return known
        if sandbox not in self._asking:
            self._asking[sandbox] = task = asyncio.ensure_future(self._look_up(sandbox))
            task.add_done_callback(lambda _: self._asking.pop(sandbox, None))
        return await asyncio.shield(self._asking[sandbox])

    async def _look_up(self, sandbox: str) -> Placement | None:
        now = self._clock()
        if now < self._away_until:
            return self._last_word(sandbox)
        try:
            found = placement_of(await threads.run(self._ask, key(sandbox)))
        except OSError as error:
            self._away_until = self._clock() + _AGAIN_SECONDS
            log.warning("the registry of placements does not answer", extra={"error": str(error)})
            return self._last_word(sandbox)
        self._known.pop(sandbox, None)
        if found is not None:
            self._known[sandbox] = found, now
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _last_word(self, sandbox: str) -> Placement:
        known, since = self._known.get(sandbox, (None, -math.inf))
        if known is None or self._clock() - since >= KEPT_SECONDS:
            raise PlacementsUnavailable("the registry of placements does not answer")
        return known


def placement_of(fields: Mapping[str, str]) -> Placement | None:
    """A placement from its hash; None where the hash is not there, or is not one."""
    try:
        return Placement(**{**fields, "expires_at": int(fields["expires_at"])})  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError):
        return None


def _asker(url: str) -> Callable[[str], Mapping[str, str]]:
    from redis import BlockingConnectionPool, Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),  # the client's own retries turn 250 ms into seconds
        decode_responses=True,
    )
    redis = Redis.from_pool(pool)

    def ask(name: str) -> Mapping[str, str]:
        try:
            found: dict[str, str] = redis.hgetall(name)  # type: ignore[assignment]  # its sync and asyncio types are one
        except RedisError as error:
            raise OSError(str(error)) from error
        return found

    return ask
