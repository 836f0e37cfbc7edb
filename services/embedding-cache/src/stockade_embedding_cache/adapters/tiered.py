"""Memory over a slower store: hits are served from memory, everything else goes through.

Memory holds copies, and each layer's copies are good for one epoch of the store below, which is asked with every
batch. When it is a later one, entries were removed, perhaps by another replica, and the layer's copies are dropped.
While the store below does not answer, memory serves alone: a copy for at most `STALE_S` after it was last known to
be good, so that a cleared entry is served by nobody longer than that.
"""

import time
from collections.abc import Mapping, Sequence

from stockade_embedding_cache.adapters.memory import MemoryStore
from stockade_embedding_cache.domain.entry import Batch, Entry, Quota, Size
from stockade_embedding_cache.domain.ports import Clock, Listed, Store, Stored, StoreUnavailable

STALE_S = 60.0


class TieredStore:
    """Port `Store`: `memory` over `below`. Reads and puts never raise StoreUnavailable."""

    def __init__(self, memory: MemoryStore, below: Store, *, clock: Clock = time.time) -> None:
        self._memory, self._below, self._clock = memory, below, clock
        self._epochs: dict[str, int] = {}
        self._confirmed: dict[str, float] = {}
        self.name = below.name

    @property
    def quota(self) -> Quota:
        return self._below.quota

    @property
    def total(self) -> Quota:
        return self._below.total

    @property
    def degraded_since(self) -> float | None:
        return self._below.degraded_since

    async def get(self, layer: str, keys: Sequence[bytes]) -> Batch:
        near = self._memory.get_now(layer, keys).entries
        try:
            return await self._complete(layer, keys, near)
        except StoreUnavailable:
            good = self._still_good(layer, near)
            return Batch(good, self._epochs.get(layer, 0), near=len(good) - good.count(None))

    async def has(self, layer: str, keys: Sequence[bytes]) -> list[bool]:
        try:
            return await self._below.has(layer, keys)
        except StoreUnavailable:
            copies = self._memory.get_now(layer, keys).entries
            return [entry is not None for entry in self._still_good(layer, copies)]

    async def put(self, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        try:
            stored = await self._below.put(layer, entries)
        except StoreUnavailable:
            kept = self._memory.put_now(layer, entries)
            return Stored(kept.refused, kept.evicted, self._epochs.get(layer, 0))
        self._confirm(layer, stored.epoch)
        accepted = {key: entry for key, entry in entries.items() if key not in stored.refused}
        self._keep(layer, stored.epoch, list(accepted), list(accepted.values()))
        return stored

    async def delete(self, layer: str, keys: Sequence[bytes]) -> int:
        deleted = await self._below.delete(layer, keys)
        self._confirm(layer, await self._below.epoch(layer))
        return deleted

    async def clear(self, layer: str) -> int:
        cleared = await self._below.clear(layer)
        self._confirm(layer, await self._below.epoch(layer))
        return cleared

    async def clear_writer(self, writer: str, layer: str = "") -> dict[str, int]:
        counts = await self._below.clear_writer(writer, layer)
        for name in counts:
            self._confirm(name, await self._below.epoch(name))
        return counts

    async def epoch(self, layer: str) -> int:
        try:
            return await self._below.epoch(layer)
        except StoreUnavailable:
            return self._epochs.get(layer, 0)

    async def page(self, layer: str, *, after: bytes = b"", limit: int, writer: str = "") -> Sequence[Listed]:
        return await self._below.page(layer, after=after, limit=limit, writer=writer)

    async def size(self, layer: str) -> Size:
        return await self._below.size(layer)

    async def sizes(self) -> dict[str, Size]:
        try:
            return await self._below.sizes()
        except StoreUnavailable:
            return await self._memory.sizes()

    async def prune(self) -> Size:
        await self._memory.prune()
        return await self._below.prune()

    async def close(self) -> None:
        await self._below.close()
        await self._memory.close()

    async def _complete(self, layer: str, keys: Sequence[bytes], near: Sequence[Entry | None]) -> Batch:
        """`near`, with what it misses from below, or all from below when the copies turn out to be outdated."""
        missing = [i for i, entry in enumerate(near) if entry is None]
        if not missing:
            epoch = await self._below.epoch(layer)
            outdated = self._confirm(layer, epoch)
            return await self._reload(layer, keys) if outdated else Batch(near, epoch, near=len(near))
        if len(missing) == len(keys):
            return await self._reload(layer, keys)
        far = await self._below.get(layer, [keys[i] for i in missing])
        if self._confirm(layer, far.epoch):
            return await self._reload(layer, keys)
        self._keep(layer, far.epoch, [keys[i] for i in missing], far.entries)
        entries = list(near)
        for i, entry in zip(missing, far.entries, strict=True):
            entries[i] = entry
        return Batch(entries, far.epoch, far.damaged, near=len(keys) - len(missing))

    async def _reload(self, layer: str, keys: Sequence[bytes]) -> Batch:
        batch = await self._below.get(layer, keys)
        self._confirm(layer, batch.epoch)
        self._keep(layer, batch.epoch, keys, batch.entries)
        return batch

    def _confirm(self, layer: str, epoch: int) -> bool:
        """Note that the store below is at `epoch`; whether that outdates copies, which are then dropped."""
        self._confirmed[layer] = self._clock()
        known = self._epochs.setdefault(layer, epoch)
        if epoch <= known:
            return False
        self._epochs[layer] = epoch
        self._memory.clear_now(layer)
        return True

    def _keep(self, layer: str, epoch: int, keys: Sequence[bytes], entries: Sequence[Entry | None]) -> None:
        """Copy entries, unless something was removed since the store below was at `epoch`.

        More than memory holds is not copied: it would push out everything, itself included.
        """
        if epoch == self._epochs[layer] and self._memory.has_room_for(len(entries)):
            found = zip(keys, entries, strict=True)
            self._memory.put_now(layer, {key: entry for key, entry in found if entry is not None})

    def _still_good(self, layer: str, entries: Sequence[Entry | None]) -> list[Entry | None]:
        oldest = self._clock() - STALE_S
        if self._confirmed.get(layer, 0.0) >= oldest:
            return list(entries)
        return [entry if entry is not None and entry.created >= oldest else None for entry in entries]
