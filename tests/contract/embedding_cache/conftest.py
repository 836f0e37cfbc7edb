"""Every store and every holder of leases that there is: the suites in this folder run against each."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from stockade_embedding_cache.adapters.leases import MemoryLeases
from stockade_embedding_cache.adapters.memory import MemoryStore
from stockade_embedding_cache.adapters.metered import MeteredStore
from stockade_embedding_cache.adapters.sqlite import SqliteStore
from stockade_embedding_cache.adapters.tiered import TieredStore
from stockade_embedding_cache.domain.entry import Quota
from stockade_embedding_cache.domain.eviction import Lru
from stockade_embedding_cache.domain.ports import Leases, Store

from support.cache import TurnedClock

AMPLE = Quota(10_000, 1 << 30)
MakeStore = Callable[..., Store]


def _memory(path: Path, clock: TurnedClock, total: Quota, quota: Quota) -> Store:
    return MemoryStore(total=total, quota=quota, clock=clock)


def _lru(path: Path, clock: TurnedClock, total: Quota, quota: Quota) -> Store:
    return MemoryStore(total=total, quota=quota, clock=clock, shelf=Lru)


def _sqlite(path: Path, clock: TurnedClock, total: Quota, quota: Quota) -> Store:
    return SqliteStore(path / "vectors.sqlite", total=total, quota=quota, clock=clock)


def _tiered(path: Path, clock: TurnedClock, total: Quota, quota: Quota) -> Store:
    memory = MemoryStore(total=Quota(8, 1 << 20), quota=AMPLE, clock=clock)
    return MeteredStore(TieredStore(memory, _sqlite(path, clock, total, quota), clock=clock))


STORES = {"memory": _memory, "memory-lru": _lru, "sqlite": _sqlite, "tiered-sqlite": _tiered}


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture(params=STORES)
async def make_store(request: pytest.FixtureRequest, tmp_path: Path, clock: TurnedClock) -> AsyncIterator[MakeStore]:
    made: list[Store] = []

    def make(total: Quota = AMPLE, quota: Quota = AMPLE) -> Store:
        made.append(STORES[request.param](tmp_path, clock, total, quota))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
async def store(make_store: MakeStore) -> Store:
    return make_store()


LEASES: dict[str, Any] = {"memory": MemoryLeases}


@pytest.fixture(params=LEASES)
def leases(request: pytest.FixtureRequest, clock: TurnedClock) -> Leases:
    made: Leases = LEASES[request.param](clock=clock)
    return made
