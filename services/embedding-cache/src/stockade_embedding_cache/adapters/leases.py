"""Leases within this process."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from stockade_embedding_cache.domain.ports import Clock

MOST_HELD = 100_000
"""Leases from which on those that ran out are swept; a holder that died leaves its behind."""


class _Held(NamedTuple):
    lease_id: str
    expires: float


class MemoryLeases:
    """Port `Leases` in a process's memory."""

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._held: dict[tuple[str, bytes], _Held] = {}
        self._changed: dict[str, asyncio.Event] = {}

    async def acquire(self, layer: str, keys: Sequence[bytes], lease_id: str, ttl_s: float) -> list[bool]:
        if len(self._held) > MOST_HELD:
            self._drop_expired()
        now = self._clock()
        return [self._take(layer, key, _Held(lease_id, now + ttl_s), now) for key in keys]

    async def release(self, layer: str, keys: Sequence[bytes], lease_id: str) -> int:
        held = [key for key in set(keys) if self._holder(layer, key) == lease_id]
        for key in held:
            del self._held[layer, key]
        changed = self._changed.pop(layer, None)
        if changed is not None:
            changed.set()
        return len(held)

    async def wait(self, layer: str, keys: Sequence[bytes], timeout_s: float) -> None:
        now = self._clock()
        first_end = min((self._held[layer, key].expires for key in keys if (layer, key) in self._held), default=now)
        changed = self._changed.setdefault(layer, asyncio.Event())
        try:
            async with asyncio.timeout(min(timeout_s, max(0.0, first_end - now))):
                await changed.wait()
        except TimeoutError:
            self._drop_expired()

    def _take(self, layer: str, key: bytes, held: _Held, now: float) -> bool:
        holder = self._held.get((layer, key))
        if holder is not None and holder.expires > now:
            return False
        self._held[layer, key] = held
        return True

    def _holder(self, layer: str, key: bytes) -> str:
        held = self._held.get((layer, key))
        return held.lease_id if held else ""

    def _drop_expired(self) -> None:
        now = self._clock()
        self._held = {where: held for where, held in self._held.items() if held.expires > now}
