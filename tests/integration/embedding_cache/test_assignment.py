"""No row ever carries another text's vector: generated batches of hits, misses, duplicates, bad rows, roles,
dimensions, evictions, expiry, clearing, and a backend that comes and goes."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stockade_agent.key import EmbeddingModel
from stockade_embedding_cache.adapters.leases import MemoryLeases
from stockade_embedding_cache.adapters.memory import MemoryStore
from stockade_embedding_cache.adapters.sqlite.store import SqliteStore
from stockade_embedding_cache.adapters.tiered import TieredStore
from stockade_embedding_cache.domain.cache import Cache
from stockade_embedding_cache.domain.computing import Computing
from stockade_embedding_cache.domain.entry import Lifetime, Quota
from stockade_embedding_cache.domain.layer import Caller
from stockade_embedding_cache.domain.ports import Store, StoreUnavailable
from stockade_embedding_cache.domain.vector import Dtype, Format, Rows

from support.cache import TurnedClock, vector

AGENTS = [Caller("agent", name, "qe-test-generator") for name in ("a", "b")]
ADA = Caller("operator", "ada")
SIZES = (3, 4, 8)
MODELS = [EmbeddingModel("p", "m", "1", size, role=role) for size in SIZES for role in ("query", "document")]
OPERATIONS = ("get", "get", "put", "put", "lease", "publish", "delete", "clear", "tick", "flip")
SMALL, TINY = Quota(60, 1 << 20), Quota(10, 300)


class Flipping:
    """A store that can be taken away and given back."""

    def __init__(self, store: Store) -> None:
        self._store, self.away = store, False

    def __getattr__(self, name: str) -> Any:
        if self.away and name in {"get", "has", "put", "delete", "clear", "epoch"}:
            raise StoreUnavailable("flipping")
        return getattr(self._store, name)


class World:
    """A cache, and what is done to it, one batch at a time."""

    def __init__(self, below: Store, clock: TurnedClock) -> None:
        self.clock, self.below, self.batches, self.hits = clock, Flipping(below), 0, 0
        tiered = TieredStore(MemoryStore(total=TINY, quota=TINY, clock=clock), self.below, clock=clock)
        self.cache = Cache(tiered, Lifetime(clock, 500.0))
        self.computing = Computing(self.cache, MemoryLeases(clock=clock))

    async def step(self, operation: str, texts: list[int], model: EmbeddingModel, agent: Caller, bad: int) -> None:
        """One batch; fails when a row carries what does not belong to its key."""
        keys = [model.key(str(text)) for text in texts]
        fmt = Format(model.dimensions, Dtype.F32)
        self.batches += 1
        with suppress(StoreUnavailable):
            match operation:
                case "get":
                    found = await self.cache.get(agent, "", keys, fmt)
                    self._check(found.entries, keys, model)
                case "put":
                    await self.cache.put(agent, "", keys, self._rows(keys, fmt, bad), None)
                case "publish":
                    rows = self._rows(keys, fmt, bad)
                    await self.cache.publish(ADA, "types/test-generator", keys, rows, None)
                case "lease":
                    lease = await self.computing.lease(agent, "", keys, fmt, 30, 0)
                    self._check(lease.found.entries, keys, model)
                    granted = [key for key, bit in zip(keys, lease.granted, strict=True) if bit]
                    rows = self._rows(granted, fmt, -1)
                    await self.computing.complete(agent, "", lease.lease_id, granted, rows, None)
                case "delete":
                    await self.cache.delete(agent, "", keys[:1])
                case "clear":
                    await self.cache.clear(agent, "")
                case "tick":
                    self.clock.now += 10 * len(texts)
                case "flip":
                    self.below.away = not self.below.away

    def _rows(self, keys: list[bytes], fmt: Format, bad: int) -> Rows:
        rows = [vector(key.hex(), fmt.dimensions) for key in keys]
        if 0 <= bad < len(rows):
            rows[bad] = [b"short", np.full(fmt.dimensions, np.nan, "<f4").tobytes(), bytes(fmt.row_bytes)][bad % 3]
        return Rows(fmt, b"".join(rows), tuple(map(len, rows)))

    def _check(self, entries: Any, keys: list[bytes], model: EmbeddingModel) -> None:
        for entry, key in zip(entries, keys, strict=True):
            assert entry is None or entry.data == vector(key.hex(), model.dimensions)
            self.hits += entry is not None


@asynccontextmanager
async def world(kind: str, directory: Path) -> AsyncIterator[World]:
    clock = TurnedClock()
    if kind == "memory":
        below: Store = MemoryStore(total=SMALL, quota=SMALL, clock=clock)
    else:
        below = SqliteStore(directory / "vectors.sqlite", total=SMALL, quota=SMALL, clock=clock)
    try:
        yield World(below, clock)
    finally:
        await below.close()


steps = st.tuples(
    st.sampled_from(OPERATIONS),
    st.lists(st.integers(0, 30), min_size=1, max_size=12),
    st.sampled_from(MODELS),
    st.sampled_from(AGENTS),
    st.integers(-5, 11),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_generated_batches(batches: list[tuple[str, list[int], EmbeddingModel, Caller, int]]) -> None:
    async def run() -> None:
        async with world("memory", Path()) as live:
            for batch in batches:
                await live.step(*batch)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("memory", 5_000),
        ("sqlite", 2_000),
        pytest.param("memory", 70_000, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
        pytest.param("sqlite", 30_000, marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
async def test_a_long_life(kind: str, count: int, tmp_path: Path) -> None:
    choose = random.Random(count)
    async with world(kind, tmp_path) as live:
        for _ in range(count):
            operation = choose.choices(OPERATIONS, weights=[20, 20, 20, 20, 10, 5, 2, 1, 3, 2])[0]
            texts = [choose.randrange(30) for _ in range(choose.randint(1, 12))]
            await live.step(operation, texts, choose.choice(MODELS), choose.choice(AGENTS), choose.randint(-20, 11))
        assert live.hits > count / 4
