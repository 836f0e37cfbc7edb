"""Port `Leases` on Redis: who computes which key, across processes. While Redis is away, within this one."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from stockade_embedding_cache.adapters.leases import MemoryLeases
from stockade_embedding_cache.adapters.redis.connection import RedisConnection, script
from stockade_embedding_cache.adapters.redis.store import PREFIX
from stockade_embedding_cache.domain.ports import Clock, StoreUnavailable

POLL_S = 0.02
_RELEASE = script("release")


class RedisLeases:
    """Leases that end by themselves in Redis' own time."""

    def __init__(self, connection: RedisConnection, *, clock: Clock = time.time) -> None:
        self._redis, self._local = connection, MemoryLeases(clock=clock)
        self._watched: Counter[tuple[str, bytes]] = Counter()
        self._changed: dict[str, asyncio.Event] = {}
        self._poller: asyncio.Task[None] | None = None

    async def acquire(self, layer: str, keys: Sequence[bytes], lease_id: str, ttl_s: float) -> list[bool]:
        life_ms = max(1, int(ttl_s * 1000))
        takes = [("SET", _lease(layer, key), lease_id, "NX", "PX", life_ms) for key in keys]
        try:
            return [bool(reply) for reply in await self._redis.run(takes)]
        except StoreUnavailable:
            return await self._local.acquire(layer, keys, lease_id, ttl_s)

    async def release(self, layer: str, keys: Sequence[bytes], lease_id: str) -> int:
        held = await self._local.release(layer, keys, lease_id)
        ends = [("EVAL", _RELEASE, 1, _lease(layer, key), lease_id) for key in set(keys)]
        with suppress(StoreUnavailable):  # then they run out
            held += sum(await self._redis.run(ends))
        self._wake(layer)
        return held

    async def wait(self, layer: str, keys: Sequence[bytes], timeout_s: float) -> None:
        watched = [(layer, key) for key in keys]
        self._watched.update(watched)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        changed = self._changed.setdefault(layer, asyncio.Event())
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), timeout_s)
        finally:
            self._watched.subtract(watched)

    async def _poll(self) -> None:
        """One look a while for all who wait in this process, for leases that ended in another."""
        while watched := list(+self._watched):
            await asyncio.sleep(POLL_S)
            try:
                held = await self._redis.run([("EXISTS", _lease(layer, key)) for layer, key in watched])
            except StoreUnavailable:
                held = [0] * len(watched)
            for layer in {layer for (layer, _), exists in zip(watched, held, strict=True) if not exists}:
                self._wake(layer)

    def _wake(self, layer: str) -> None:
        changed = self._changed.pop(layer, None)
        if changed is not None:
            changed.set()


def _lease(layer: str, key: bytes) -> bytes:
    return f"{PREFIX}:{{{layer}:{key[0] >> 4:x}}}".encode() + b"!" + key
