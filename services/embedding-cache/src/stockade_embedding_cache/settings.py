"""What the service can be told, by variables STOCKADE_CACHE_<FIELD>."""

from dataclasses import dataclass

from stockade_rpckit.settings import ServiceSettings

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, kw_only=True)
class CacheSettings(ServiceSettings):
    """Settings of the embedding cache."""

    backend: str = "sqlite"
    """What keeps the entries: memory, sqlite or redis. Memory stands over the other two."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Where Redis is, for the backend redis: redis://, rediss:// or unix://; for a cluster, any of its nodes."""
    redis_cluster: bool = False
    """Whether that Redis is a cluster."""
    redis_timeout_seconds: float = 0.05
    """Longest wait for a reply of Redis; then memory serves alone until it is back."""
    redis_pool: int = 8
    """Most connections to Redis, to each node of a cluster."""
    eviction: str = "sieve"
    """What memory gives up when it is full: sieve or lru."""
    ttl_seconds: float = 86_400.0
    """How long an entry lives whose writer does not say; 5 % jitter either way."""
    memory_entries: int = 200_000
    """Most entries in memory."""
    memory_bytes: int = 512 * MIB
    """Most bytes of vectors in memory."""
    store_entries: int = 2_000_000
    """Most entries behind memory, in all layers."""
    store_bytes: int = 8 * GIB
    """Most bytes of vectors behind memory, in all layers."""
    layer_entries: int = 200_000
    """Most entries of one layer."""
    layer_bytes: int = 1 * GIB
    """Most bytes of vectors of one layer."""
    prune_seconds: float = 300.0
    """How often what has expired is removed."""
    publishers: tuple[str, ...] = ("operator/*", "service/*")
    """Patterns of the callers that may publish to shared layers: kind/name. Agents never may."""
