"""Port `Leases` on Redis: who computes which key, across processes. While Redis is away, within this one."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from stockade_embedding_cache.adapters.leases import MOST_HELD, MemoryLeases
from stockade_embedding_cache.adapters.redis.connection import Command, RedisConnection, script
from stockade_embedding_cache.adapters.redis.store import TAGS, group, tag_name
from stockade_embedding_cache.domain.ports import Clock, StoreUnavailable

POLL_S = 0.02
MOST_OF_A_TAG = MOST_HELD // len(TAGS)
"""Leases of one tag at once: keys are digests, so that tags fill alike."""
_ACQUIRE, _RELEASE = script("acquire"), script("release")


class RedisLeases:
    """Leases that end by themselves in Redis' own time."""

    def __init__(self, connection: RedisConnection, *, clock: Clock = time.time) -> None:
        self._redis, self._local = connection, MemoryLeases(clock=clock)
        self._watched: Counter[tuple[str, bytes]] = Counter()
        self._changed: dict[str, asyncio.Event] = {}
        self._poller: asyncio.Task[None] | None = None

    async def acquire(self, layer: str, keys: Sequence[bytes], lease_id: str, ttl_s: float) -> list[bool]:
        life_ms, groups = max(1, int(ttl_s * 1000)), group(keys)
        takes = [_script(_ACQUIRE, layer, tag, tagged, lease_id, life_ms, MOST_OF_A_TAG) for tag, tagged in groups]
        try:
            replies = await self._redis.write(takes)
        except StoreUnavailable:
            return await self._local.acquire(layer, keys, lease_id, ttl_s)
        bits = zip(chain.from_iterable(replies), chain.from_iterable(tagged for _, tagged in groups), strict=True)
        granted = {key for bit, key in bits if bit}
        first = {key: i for i, key in reversed(list(enumerate(keys)))}  # a key asked for twice is granted once
        return [key in granted and first[key] == i for i, key in enumerate(keys)]

    async def release(self, layer: str, keys: Sequence[bytes], lease_id: str) -> int:
        held = await self._local.release(layer, keys, lease_id)
        with suppress(StoreUnavailable):  # then they run out
            ends = [_script(_RELEASE, layer, tag, tagged, lease_id) for tag, tagged in group(keys)]
            held += sum(await self._redis.write(ends))
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


def _script(text: str, layer: str, tag: int, keys: Sequence[bytes], *arguments: object) -> Command:
    leases = [_lease(layer, key) for key in keys]
    return ("EVAL", text, 1 + len(leases), tag_name(layer, tag) + b"#leases", *leases, *arguments)


def _lease(layer: str, key: bytes) -> bytes:
    return tag_name(layer, key[0] >> 4) + b"!" + key
