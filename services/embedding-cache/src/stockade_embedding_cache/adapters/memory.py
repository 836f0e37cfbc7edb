"""A store in this process: bounded by entries and bytes, in all and by layer.

Each layer has a shelf of its own, so that a scan of one evicts nothing of another; where all of them together are too
large, the largest gives way.
"""

import heapq
import time
from collections.abc import Callable, Mapping, Sequence

from stockade_embedding_cache.domain.entry import Batch, Entry, Quota, Size
from stockade_embedding_cache.domain.eviction import Shelf, Sieve
from stockade_embedding_cache.domain.ports import Clock, Listed, Stored


class _Layer:
    """One layer's shelf, its size and its epoch."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.bytes = 0
        # Starting from the clock, an epoch of this process is no epoch of an earlier one.
        self.epoch = time.time_ns()

    @property
    def size(self) -> Size:
        return Size(len(self.shelf), self.bytes)

    def put(self, key: bytes, entry: Entry) -> None:
        before = self.shelf.put(key, entry)
        self.bytes += len(entry.data) - (len(before.data) if before else 0)

    def pop(self, key: bytes) -> Entry | None:
        entry = self.shelf.pop(key)
        if entry is not None:
            self.bytes -= len(entry.data)
        return entry

    def evict(self) -> Size:
        size = len(self.shelf.evict().data)
        self.bytes -= size
        return Size(1, size)

    def remove(self, keys: Sequence[bytes]) -> Size:
        removed = [entry for key in keys if (entry := self.pop(key)) is not None]
        return Size(len(removed), sum(len(entry.data) for entry in removed))


class MemoryStore:
    """Port `Store` in a process's memory.

    Args:
        total: most that all layers together may hold.
        quota: most that one layer may hold.
    """

    name = "memory"
    degraded_since = None

    def __init__(
        self, *, total: Quota, quota: Quota, clock: Clock = time.time, shelf: Callable[[], Shelf] = Sieve
    ) -> None:
        self.total, self.quota = total, quota
        self._clock, self._shelf = clock, shelf
        self._layers: dict[str, _Layer] = {}

    async def get(self, layer: str, keys: Sequence[bytes]) -> Batch:
        return self.get_now(layer, keys)

    def get_now(self, layer: str, keys: Sequence[bytes]) -> Batch:
        """`get` for those who need it done before anything else runs."""
        kept, now = self._layer(layer), self._clock()
        found = map(kept.shelf.get, keys)
        return Batch([entry if entry is not None and entry.expires > now else None for entry in found], kept.epoch)

    async def has(self, layer: str, keys: Sequence[bytes]) -> list[bool]:
        shelf, now = self._layer(layer).shelf, self._clock()
        found = (shelf.peek(key) for key in keys)
        return [entry is not None and entry.expires > now for entry in found]

    async def put(self, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        return self.put_now(layer, entries)

    def put_now(self, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        """`put` for those who need it done before anything else runs."""
        kept = self._layer(layer)
        largest = min(self.quota.bytes, self.total.bytes)
        refused = frozenset(key for key, entry in entries.items() if len(entry.data) > largest)
        for key, entry in entries.items():
            if key not in refused:
                kept.put(key, entry)
        return Stored(refused, self._make_room(kept), kept.epoch)

    def has_room_for(self, count: int) -> bool:
        """Whether so many entries could be here at once."""
        return count <= min(self.quota.entries, self.total.entries)

    async def delete(self, layer: str, keys: Sequence[bytes]) -> int:
        kept = self._layer(layer)
        kept.epoch += 1
        return kept.remove(keys).entries

    async def clear(self, layer: str) -> int:
        return self.clear_now(layer)

    def clear_now(self, layer: str) -> int:
        """`clear` for those who need it done before anything else runs."""
        kept = self._layer(layer)
        kept.epoch += 1
        return kept.remove(list(kept.shelf)).entries

    async def clear_writer(self, writer: str, layer: str = "") -> dict[str, int]:
        counts = {}
        for name in [layer] if layer else list(self._layers):
            keys = [key for key, entry in self._items(name) if entry.writer == writer]
            if keys:
                counts[name] = await self.delete(name, keys)
        return counts

    async def epoch(self, layer: str) -> int:
        return self._layer(layer).epoch

    async def page(self, layer: str, *, after: bytes = b"", limit: int, writer: str = "") -> Sequence[Listed]:
        now = self._clock()
        wanted = (
            Listed(key, entry.format, entry.writer, entry.created, entry.expires)
            for key, entry in self._items(layer)
            if key > after and entry.expires > now and writer in ("", entry.writer)
        )
        return heapq.nsmallest(limit, wanted, key=lambda listed: listed.key)

    async def size(self, layer: str) -> Size:
        self._prune(self._layer(layer))
        return self._layer(layer).size

    async def sizes(self) -> dict[str, Size]:
        return {name: layer.size for name, layer in self._layers.items() if layer.size.entries}

    async def prune(self) -> Size:
        pruned = sum((self._prune(layer) for layer in self._layers.values()), Size())
        self._layers = {name: layer for name, layer in self._layers.items() if len(layer.shelf)}
        return pruned

    async def close(self) -> None:
        self._layers.clear()

    def _layer(self, name: str) -> _Layer:
        layer = self._layers.get(name)
        if layer is None:
            layer = self._layers[name] = _Layer(self._shelf())
        return layer

    def _items(self, layer: str) -> list[tuple[bytes, Entry]]:
        shelf = self._layer(layer).shelf
        return [(key, entry) for key in shelf if (entry := shelf.peek(key)) is not None]

    def _prune(self, layer: _Layer) -> Size:
        now, shelf = self._clock(), layer.shelf
        expired = [key for key in shelf if (entry := shelf.peek(key)) is not None and entry.expires <= now]
        return layer.remove(expired)

    def _make_room(self, layer: _Layer) -> int:
        evicted = 0
        while self.quota.exceeded_by(layer.size):
            layer.evict()
            evicted += 1
        layers = self._layers.values()
        held = Size(sum(len(kept.shelf) for kept in layers), sum(kept.bytes for kept in layers))
        while self.total.exceeded_by(held):
            largest, *others = heapq.nlargest(2, layers, key=lambda kept: kept.bytes)
            floor = others[0].bytes if others else 0
            while self.total.exceeded_by(held) and largest.bytes >= max(floor, 1):
                held -= largest.evict()
                evicted += 1
        return evicted
