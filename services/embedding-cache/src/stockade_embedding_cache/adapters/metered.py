"""A decorator over any store: how long each operation takes."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from prometheus_client import Histogram
from stockade_rpckit.metrics import REGISTRY

from stockade_embedding_cache.domain.entry import Batch, Entry, Quota, Size
from stockade_embedding_cache.domain.ports import Listed, Store, Stored

_DURATION = Histogram(
    "stockade_cache_store_duration_seconds",
    "Time of one operation of the store.",
    ("operation", "store"),
    buckets=(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
    registry=REGISTRY,
)


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
            return await self._store.get(layer, keys)

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
            _DURATION.labels(operation, self.name).observe(time.perf_counter() - started)
