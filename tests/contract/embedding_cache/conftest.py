"""Every store and every holder of leases that there is: the suites in this folder run against each.

Redis is a real one, and a real cluster of three.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from stockade_embedding_cache.adapters.leases import MemoryLeases
from stockade_embedding_cache.adapters.memory import MemoryStore
from stockade_embedding_cache.adapters.metered import MeteredStore
from stockade_embedding_cache.adapters.redis.connection import RedisConnection
from stockade_embedding_cache.adapters.redis.leases import RedisLeases
from stockade_embedding_cache.adapters.redis.store import RedisStore
from stockade_embedding_cache.adapters.sqlite.store import SqliteStore
from stockade_embedding_cache.adapters.tiered import TieredStore
from stockade_embedding_cache.domain.entry import Quota
from stockade_embedding_cache.domain.eviction import Lru
from stockade_embedding_cache.domain.ports import Leases, Store

from support.cache import TurnedClock
from support.redis_cluster import RedisCluster, redis_cluster
from support.redis_server import RedisServer, redis_server

AMPLE = Quota(10_000, 1 << 30)
SLOW_S = 2.0
"""The wait for one reply, for tests that are not about time, on a busy machine."""
Connect = Callable[[str], RedisConnection]
Build = Callable[[Quota, Quota], Store]
MakeStore = Callable[..., Store]


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="sr-") as directory, redis_server(Path(directory)) as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[RedisCluster]:
    with tempfile.TemporaryDirectory(prefix="sr-") as directory, redis_cluster(Path(directory)) as running:
        yield running


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Connect:
    """A connection to an empty Redis, "redis" or "cluster"."""

    def make(kind: str) -> RedisConnection:
        server = request.getfixturevalue(kind)
        server.empty()
        return RedisConnection(server.url, cluster=kind == "cluster", timeout_s=SLOW_S)

    return make


@pytest.fixture
def stores(tmp_path: Path, clock: TurnedClock, connect: Connect) -> dict[str, Build]:
    """Every kind of store, by name, from a total and a quota for each layer."""

    def memory(total: Quota, quota: Quota) -> MemoryStore:
        return MemoryStore(total=total, quota=quota, clock=clock)

    def sqlite(total: Quota, quota: Quota) -> Store:
        return SqliteStore(tmp_path / "vectors.sqlite", total=total, quota=quota, clock=clock)

    def on(kind: str) -> Build:
        return lambda total, quota: RedisStore(connect(kind), total=total, quota=quota, clock=clock)

    def tiered(below: Build) -> Build:
        few = Quota(8, 1 << 20)
        return lambda total, quota: TieredStore(memory(few, AMPLE), below(total, quota), clock=clock)

    return {
        "memory": memory,
        "memory-lru": lambda total, quota: MemoryStore(total=total, quota=quota, clock=clock, shelf=Lru),
        "sqlite": sqlite,
        "redis": on("redis"),
        "cluster": on("cluster"),
        "tiered-sqlite": lambda total, quota: MeteredStore(tiered(sqlite)(total, quota)),
        "tiered-redis": tiered(on("redis")),
    }


@pytest.fixture(params=["memory", "memory-lru", "sqlite", "redis", "cluster", "tiered-sqlite", "tiered-redis"])
async def make_store(request: pytest.FixtureRequest, stores: dict[str, Build]) -> AsyncIterator[MakeStore]:
    made: list[Store] = []

    def make(total: Quota = AMPLE, quota: Quota = AMPLE) -> Store:
        made.append(stores[request.param](total, quota))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
async def store(make_store: MakeStore) -> Store:
    return make_store()


@pytest.fixture(params=["memory", "redis", "cluster"])
async def leases(request: pytest.FixtureRequest, clock: TurnedClock, connect: Connect) -> AsyncIterator[Leases]:
    if request.param == "memory":
        yield MemoryLeases(clock=clock)
        return
    connection = connect(request.param)
    yield RedisLeases(connection, clock=clock)
    await connection.close()
