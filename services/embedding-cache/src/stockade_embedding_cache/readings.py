"""The cache's metrics beside those that every service has: what it counts anyway."""

from stockade_rpckit.metrics import Reading

from stockade_embedding_cache.domain.cache import Cache
from stockade_embedding_cache.domain.entry import Size


def readings(cache: Cache) -> list[Reading]:
    """Rows by the tier that had them, entries by what became of them, and how much is held."""
    stats, store = cache.stats, cache.store

    def rows() -> dict[str, float]:
        return {"memory": stats.near_hits, store.name: stats.hits - stats.near_hits, "none": stats.misses}

    def fates() -> dict[str, float]:
        return {
            "stored": stats.puts,
            "refused": stats.refused_rows,
            "evicted": stats.evictions,
            "pruned": stats.pruned,
            "damaged": stats.damaged,
        }

    async def held() -> Size:
        return sum((await store.sizes()).values(), Size())

    async def entries() -> float:
        return (await held()).entries

    async def size() -> float:
        return (await held()).bytes

    return [
        Reading("stockade_cache_rows_total", "Rows asked for, by the tier that had them.", rows, label="tier"),
        Reading("stockade_cache_entries_total", "Entries, by what became of them.", fates, label="fate"),
        Reading("stockade_cache_leases_total", "Leases granted to compute a row.", lambda: stats.leases_granted),
        Reading("stockade_cache_held_entries", "Entries held, expired ones until they are pruned.", entries),
        Reading("stockade_cache_held_bytes", "Bytes of the vectors held.", size),
    ]
