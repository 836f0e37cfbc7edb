"""The service put together: the one module that names concrete adapters."""

import functools
import time
from collections.abc import Callable

from stockade.embeddingcache.v1.embedding_cache_service_pb2_grpc import (
    add_EmbeddingCacheServiceServicer_to_server,
)
from stockade_rpckit.journals import open_journal
from stockade_rpckit.server import Served, Wiring
from stockade_rpckit.settings import refuse

from stockade_embedding_cache.adapters.leases import MemoryLeases
from stockade_embedding_cache.adapters.memory import MemoryStore
from stockade_embedding_cache.adapters.metered import MeteredStore
from stockade_embedding_cache.adapters.redis.connection import RedisConnection
from stockade_embedding_cache.adapters.redis.leases import RedisLeases
from stockade_embedding_cache.adapters.redis.store import RedisStore
from stockade_embedding_cache.adapters.sqlite.database import StoreDamaged, StoreLocked
from stockade_embedding_cache.adapters.sqlite.store import SqliteStore
from stockade_embedding_cache.adapters.tiered import TieredStore
from stockade_embedding_cache.domain.cache import Cache
from stockade_embedding_cache.domain.computing import Computing
from stockade_embedding_cache.domain.entry import Lifetime, Quota
from stockade_embedding_cache.domain.eviction import Lru, Shelf, Sieve
from stockade_embedding_cache.domain.ports import Leases, Store
from stockade_embedding_cache.domain.stats import Stats
from stockade_embedding_cache.handlers.failures import FAILURES
from stockade_embedding_cache.handlers.service import DESCRIBE, NAME, EmbeddingCacheHandler
from stockade_embedding_cache.pruning import prune_for_ever
from stockade_embedding_cache.readings import readings
from stockade_embedding_cache.settings import CacheSettings

SHELVES: dict[str, Callable[[], Shelf]] = {"sieve": Sieve, "lru": Lru}


async def wire(settings: CacheSettings) -> Wiring:
    """The service that `settings` ask for. Ends the process, in one line, for settings nobody can serve."""
    journal = open_journal(settings, "cache")
    computing = build(settings)
    cache = computing.cache
    return Wiring(
        served=[Served(NAME, add_EmbeddingCacheServiceServicer_to_server, EmbeddingCacheHandler(computing), DESCRIBE)],
        journal=journal,
        failures=FAILURES,
        background=[functools.partial(prune_for_ever, cache, journal, settings.prune_seconds)],
        on_drain=cache.store.close,
        parts={f"{NAME}/backend": lambda: cache.store.degraded_since is None},
        readings=readings(cache),
    )


def build(settings: CacheSettings) -> Computing:
    """The cache and its leases on the backend that `settings` name.

    Ends the process, in one line, for a setting nobody can serve.
    """
    for name, value, choices in (
        ("BACKEND", settings.backend, BACKENDS),
        ("EVICTION", settings.eviction, SHELVES),
    ):
        if value not in choices:
            refuse(f"STOCKADE_CACHE_{name}={value} is unknown; choose one of {', '.join(choices)}")
    store, leases = BACKENDS[settings.backend](settings)
    cache = Cache(
        store=MeteredStore(store),
        lifetime=Lifetime(time.time, settings.ttl_seconds),
        publishers=settings.publishers,
        stats=Stats(start=time.time()),
    )
    return Computing(cache, leases)


def _memory(settings: CacheSettings) -> tuple[Store, Leases]:
    return _memory_store(settings), MemoryLeases()


def _sqlite(settings: CacheSettings) -> tuple[Store, Leases]:
    path = settings.state_dir / "cache" / "vectors.sqlite"
    try:
        below = SqliteStore(path, total=_total(settings), quota=_layer_quota(settings))
    except (StoreLocked, StoreDamaged) as error:
        refuse(str(error))
    return TieredStore(_memory_store(settings), below), MemoryLeases()


def _redis(settings: CacheSettings) -> tuple[Store, Leases]:
    connection = RedisConnection(
        settings.redis_url,
        cluster=settings.redis_cluster,
        timeout_s=settings.redis_timeout_seconds,
        pool=settings.redis_pool,
    )
    below = RedisStore(connection, total=_total(settings), quota=_layer_quota(settings))
    return TieredStore(_memory_store(settings), below), RedisLeases(connection)


def _memory_store(settings: CacheSettings) -> MemoryStore:
    total = Quota(settings.memory_entries, settings.memory_bytes)
    return MemoryStore(total=total, quota=_layer_quota(settings), shelf=SHELVES[settings.eviction])


def _total(settings: CacheSettings) -> Quota:
    return Quota(settings.store_entries, settings.store_bytes)


def _layer_quota(settings: CacheSettings) -> Quota:
    return Quota(settings.layer_entries, settings.layer_bytes)


BACKENDS: dict[str, Callable[[CacheSettings], tuple[Store, Leases]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
}
