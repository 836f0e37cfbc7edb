"""Commands to Redis, one server or a cluster, from threads of our own.

redis-py's sync client reads replies of megabytes several times faster than its asyncio one, and a caller that is
cancelled leaves no half-read reply on a connection for the next one: the thread reads it to its end.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.retry import Retry

from stockade_embedding_cache.adapters.breaker import Breaker

AWAY: tuple[type[Exception], ...] = (RedisError, OSError)
"""What means that Redis is no use now: away, loading, or not letting us in."""
TAKES_NOTHING = (OutOfMemoryError, ReadOnlyError)
"""What means that it can still be read."""
Command = Sequence[Any]
READ_BYTES = 512 * 1024
"""Read at once: a batch of megabytes in a few system calls, each of which gives the interpreter's lock away."""


class _Full(Exception):
    """Redis refused a write, and answers otherwise."""


class RedisConnection:
    """A bounded pool of connections behind two breakers: one for Redis away, one for Redis that takes no writes.

    Connects when first used, so that Redis may come later.

    Args:
        url: `redis://host:port/db`, `rediss://…` or `unix:///path`; for a cluster, of any of its nodes.
        cluster: whether it is one.
        timeout_s: the longest wait for one reply; then the first breaker opens.
        pool: most calls at once; more wait their turn.
    """

    def __init__(self, url: str, *, cluster: bool = False, timeout_s: float = 0.05, pool: int = 8) -> None:
        self._url, self._timeout_s, self._pool = url, timeout_s, pool
        self.cluster = cluster
        self._threads = ThreadPoolExecutor(pool, thread_name_prefix="cache-redis")
        self._connecting = threading.Lock()
        self._client: Any = None
        self._reached, self._taken = Breaker("redis", AWAY), Breaker("redis, writes", (_Full,))

    @property
    def degraded_since(self) -> float | None:
        """When Redis stopped answering, or taking what is written; None while it does both."""
        since = [breaker.since for breaker in (self._reached, self._taken) if breaker.since is not None]
        return min(since, default=None)

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The commands' replies, in order, in one round trip to each node. Raises StoreUnavailable."""
        return await self._on_thread(self.run_now, commands)

    async def write(self, commands: Sequence[Command]) -> list[Any]:
        """`run` for what may be refused because Redis is full. Raises StoreUnavailable."""
        return await self._on_thread(self.write_now, commands)

    def run_now(self, commands: Sequence[Command]) -> list[Any]:
        """`run` on the caller's own thread."""
        return self._reached.call(lambda: self._pipelined(commands))

    def write_now(self, commands: Sequence[Command]) -> list[Any]:
        """`write` on the caller's own thread."""
        return self._taken.call(lambda: self.run_now(commands))

    async def close(self) -> None:
        """Hang up."""
        self._threads.shutdown()
        if self._client is not None:
            self._client.close()

    async def _on_thread(
        self, work: Callable[[Sequence[Command]], list[Any]], commands: Sequence[Command]
    ) -> list[Any]:
        if not commands:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, commands)

    def _pipelined(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self._connected().pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = pipeline.execute()
        except TAKES_NOTHING as error:
            raise _Full(str(error)) from error
        return replies

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
        return self._client

    def _connect(self) -> Any:
        options: dict[str, Any] = {
            "socket_timeout": self._timeout_s,
            "socket_connect_timeout": self._timeout_s,
            # redis-py's own retries make seconds of a timeout of milliseconds.
            "retry": Retry(NoBackoff(), 0),
            "socket_read_size": READ_BYTES,
        }
        if self.cluster:
            return RedisCluster.from_url(self._url, max_connections=self._pool, **options)
        pool = redis.BlockingConnectionPool.from_url(
            self._url, max_connections=self._pool, timeout=self._timeout_s, **options
        )
        return redis.Redis(connection_pool=pool)


def script(name: str) -> str:
    """The Lua script of that name."""
    return resources.files(__package__).joinpath("lua", f"{name}.lua").read_text()
