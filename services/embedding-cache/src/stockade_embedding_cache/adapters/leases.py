"""Leases within this process."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from stockade_embedding_cache.domain.ports import Clock

MOST_HELD = 16_384
"""Leases of one layer at once; from there on nothing is granted, so that no agent can fill the process with them."""


class _Held(NamedTuple):
    lease_id: str
    expires: float


class MemoryLeases:
    """Port `Leases` in a process's memory."""

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._held: defaultdict[str, dict[bytes, _Held]] = defaultdict(dict)
        self._changed: dict[str, asyncio.Event] = {}

    async def acquire(self, layer: str, keys: Sequence[bytes], lease_id: str, ttl_s: float) -> list[bool]:
        held, now = self._held[layer], self._clock()
        if len(held) + len(keys) > MOST_HELD:
            held = self._drop_expired(layer)
        return [self._take(held, key, _Held(lease_id, now + ttl_s), now) for key in keys]

    async def release(self, layer: str, keys: Sequence[bytes], lease_id: str) -> int:
        held = self._held[layer]
        own = [key for key in set(keys) if key in held and held[key].lease_id == lease_id]
        for key in own:
            del held[key]
        changed = self._changed.pop(layer, None)
        if changed is not None:
            changed.set()
        return len(own)

    async def wait(self, layer: str, keys: Sequence[bytes], timeout_s: float) -> None:
        held, now = self._held[layer], self._clock()
        first_end = min((held[key].expires for key in keys if key in held), default=now)
        changed = self._changed.setdefault(layer, asyncio.Event())
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), min(timeout_s, max(0.0, first_end - now)))

    def _take(self, held: dict[bytes, _Held], key: bytes, lease: _Held, now: float) -> bool:
        holder = held.get(key)
        if (holder is not None and holder.expires > now) or (holder is None and len(held) >= MOST_HELD):
            return False
        held[key] = lease
        return True

    def _drop_expired(self, layer: str) -> dict[bytes, _Held]:
        now = self._clock()
        live = {key: held for key, held in self._held[layer].items() if held.expires > now}
        self._held[layer] = live
        return live
