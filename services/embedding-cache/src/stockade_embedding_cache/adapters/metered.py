"""A decorator over any store: how long each operation takes and how many rows it handles, as OpenTelemetry metrics."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from opentelemetry import metrics

from stockade_embedding_cache.domain.entry import Batch, Entry, Quota, Size
from stockade_embedding_cache.domain.ports import Listed, Store, Stored

_METER = metrics.get_meter("stockade.cache")
_DURATION = _METER.create_histogram("stockade.cache.store.duration", "s", "Time of one operation of the store")
_ROWS = _METER.create_counter("stockade.cache.rows", "{row}", "Rows asked for, by whether they were found")
_DAMAGED = _METER.create_counter("stockade.cache.damaged", "{entry}", "Entries dropped for a wrong checksum")


class MeteredStore:
    """Port `Store`: what `store` does, measured."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.name = store.name

    @property
    def quota(self) -> Quota:
        return self._store.quota

    @property
    def total(self) -> Quota:
        return self._store.total

    @property
    def degraded_since(self) -> float | None:
        return self._store.degraded_since

    async def get(self, layer: str, keys: Sequence[bytes]) -> Batch:
        async with self._timed("get"):
            batch = await self._store.get(layer, keys)
        hits = len(keys) - batch.entries.count(None)
        _ROWS.add(hits, {"found": True})
        _ROWS.add(len(keys) - hits, {"found": False})
        if batch.damaged:
            _DAMAGED.add(batch.damaged)
        return batch

    async def has(self, layer: str, keys: Sequence[bytes]) -> list[bool]:
        async with self._timed("has"):
            return await self._store.has(layer, keys)

    async def put(self, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        async with self._timed("put"):
            return await self._store.put(layer, entries)

    async def delete(self, layer: str, keys: Sequence[bytes]) -> int:
        async with self._timed("delete"):
            return await self._store.delete(layer, keys)

    async def clear(self, layer: str) -> int:
        async with self._timed("clear"):
            return await self._store.clear(layer)

    async def clear_writer(self, writer: str, layer: str = "") -> dict[str, int]:
        async with self._timed("clear_writer"):
            return await self._store.clear_writer(writer, layer)

    async def epoch(self, layer: str) -> int:
        return await self._store.epoch(layer)

    async def page(self, layer: str, *, after: bytes = b"", limit: int, writer: str = "") -> Sequence[Listed]:
        async with self._timed("page"):
            return await self._store.page(layer, after=after, limit=limit, writer=writer)

    async def size(self, layer: str) -> Size:
        async with self._timed("size"):
            return await self._store.size(layer)

    async def sizes(self) -> dict[str, Size]:
        return await self._store.sizes()

    async def prune(self) -> Size:
        async with self._timed("prune"):
            return await self._store.prune()

    async def close(self) -> None:
        await self._store.close()

    @asynccontextmanager
    async def _timed(self, operation: str) -> AsyncIterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            _DURATION.record(time.perf_counter() - started, {"operation": operation, "store": self.name})
