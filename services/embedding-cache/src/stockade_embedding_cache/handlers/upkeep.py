"""What operators and services do to the cache as a whole: clear, prune, stats."""

from typing import Any

from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade_audit import Action
from stockade_rpckit.recording import current_record

from stockade_embedding_cache.domain.cache import Cache
from stockade_embedding_cache.domain.entry import Size
from stockade_embedding_cache.handlers import messages

DEFAULT_PAGE = 100


class UpkeepHandler:
    """The RPCs of upkeep."""

    _cache: Cache

    async def ClearLayer(self, request: pb.ClearLayerRequest, _context: Any) -> pb.ClearLayerResponse:
        count, layer = await self._cache.clear(messages.caller(), request.layer)
        current_record().set(action=Action.CACHE_CLEARED, resource=layer, metadata={"cleared": count})
        epoch = await self._cache.store.epoch(layer)
        return pb.ClearLayerResponse(cleared_count=count, epoch=messages.write_epoch(layer, epoch))

    async def ClearWriter(self, request: pb.ClearWriterRequest, _context: Any) -> pb.ClearWriterResponse:
        counts = await self._cache.clear_writer(messages.caller(), request.writer, request.layer)
        cleared = sum(counts.values())
        current_record().set(action=Action.CACHE_CLEARED, metadata={"cleared": cleared, "layers": len(counts)})
        epochs = {layer: await self._cache.store.epoch(layer) for layer in counts}
        return pb.ClearWriterResponse(cleared_count=cleared, epochs=messages.write_epochs(epochs))

    async def Prune(self, request: pb.PruneRequest, _context: Any) -> pb.PruneResponse:
        pruned = await self._cache.prune()
        current_record().set(metadata={"pruned": pruned.entries, "bytes": pruned.bytes})
        return pb.PruneResponse(pruned_count=pruned.entries, pruned_bytes=pruned.bytes)

    async def GetStats(self, request: pb.GetStatsRequest, _context: Any) -> pb.GetStatsResponse:
        stats, store = self._cache.stats, self._cache.store
        sizes = await store.sizes()
        largest = sorted(sizes.items(), key=lambda item: -item[1].bytes)[: request.page_size or DEFAULT_PAGE]
        since = store.degraded_since
        return pb.GetStatsResponse(
            start_time=messages.timestamp(stats.start),
            hits=stats.hits,
            misses=stats.misses,
            puts=stats.puts,
            refused_rows=stats.refused_rows,
            evictions=stats.evictions,
            pruned=stats.pruned,
            damaged=stats.damaged,
            leases_granted=stats.leases_granted,
            backend=store.name,
            degraded=since is not None,
            degraded_since=None if since is None else messages.timestamp(since),
            total=messages.write_size("", sum(sizes.values(), Size()), store.total),
            layers=[messages.write_size(layer, size, store.quota) for layer, size in largest],
        )
