"""One entry, one layer: get, put, has, delete, list, size."""

from typing import Any

from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade_rpckit.recording import current_record

from stockade_embedding_cache.domain import bitmap
from stockade_embedding_cache.domain.cache import Cache
from stockade_embedding_cache.domain.key import KEY_BYTES, split_keys
from stockade_embedding_cache.domain.vector import Rows
from stockade_embedding_cache.handlers import messages
from stockade_embedding_cache.handlers.failures import PageTokenInvalid

DEFAULT_PAGE = 100


class EntriesHandler:
    """The RPCs of single entries and single layers."""

    _cache: Cache

    async def Get(self, request: pb.GetRequest, _context: Any) -> pb.GetResponse:
        found = await self._cache.get(messages.caller(), request.layer, [request.key])
        epochs = messages.write_epochs(found.epochs)
        entry = found.entries[0]
        if entry is None:
            return pb.GetResponse(epochs=epochs)
        return pb.GetResponse(
            vector=messages.write_vector(entry),
            layer=found.origins[0],
            expire_time=messages.timestamp(entry.expires),
            epochs=epochs,
        )

    async def Put(self, request: pb.PutRequest, _context: Any) -> pb.PutResponse:
        rows = Rows(messages.read_format(request.vector.format), request.vector.data)
        ttl = messages.read_seconds(request, "ttl")
        entry, outcome = await self._cache.put_one(messages.caller(), request.layer, request.key, rows, ttl)
        return pb.PutResponse(
            expire_time=messages.timestamp(entry.expires),
            epoch=messages.write_epoch(outcome.layer, outcome.epoch),
        )

    async def Has(self, request: pb.HasRequest, _context: Any) -> pb.HasResponse:
        keys = split_keys(request.keys)
        present, epochs = await self._cache.has(messages.caller(), request.layer, keys)
        return pb.HasResponse(hits=bitmap.pack(present), epochs=messages.write_epochs(epochs))

    async def Delete(self, request: pb.DeleteRequest, _context: Any) -> pb.DeleteResponse:
        keys = split_keys(request.keys)
        count, layer = await self._cache.delete(messages.caller(), request.layer, keys)
        current_record().set(resource=layer, metadata={"keys": len(keys), "deleted": count})
        epoch = await self._cache.store.epoch(layer)
        return pb.DeleteResponse(deleted_count=count, epoch=messages.write_epoch(layer, epoch))

    async def ListKeys(self, request: pb.ListKeysRequest, _context: Any) -> pb.ListKeysResponse:
        limit = request.page_size or DEFAULT_PAGE
        listed, layer = await self._cache.list_keys(
            messages.caller(), request.layer, _after(request.page_token), limit, request.writer
        )
        return pb.ListKeysResponse(
            entries=messages.write_entries(listed),
            next_page_token=listed[-1].key.hex() if len(listed) == limit else "",
            epoch=messages.write_epoch(layer, await self._cache.store.epoch(layer)),
        )

    async def GetSize(self, request: pb.GetSizeRequest, _context: Any) -> pb.GetSizeResponse:
        size, layer = await self._cache.size(messages.caller(), request.layer)
        return pb.GetSizeResponse(
            size=messages.write_size(layer, size, self._cache.store.quota),
            epoch=messages.write_epoch(layer, await self._cache.store.epoch(layer)),
        )


def _after(page_token: str) -> bytes:
    """The key that the page before ended with; a page's token is that key in hex."""
    try:
        key = bytes.fromhex(page_token)
    except ValueError as error:
        raise PageTokenInvalid from error
    if key and len(key) != KEY_BYTES:
        raise PageTokenInvalid
    return key
