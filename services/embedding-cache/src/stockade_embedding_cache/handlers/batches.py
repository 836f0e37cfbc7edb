"""Many rows: unary batches, their streams, and publishing."""

from collections.abc import AsyncIterator
from typing import Any

from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade_rpckit.recording import current_record

from stockade_embedding_cache.domain import bitmap
from stockade_embedding_cache.domain.cache import Cache, Lookup, Outcome
from stockade_embedding_cache.domain.key import split_keys
from stockade_embedding_cache.handlers import messages
from stockade_embedding_cache.handlers.failures import BatchTooLarge
from stockade_embedding_cache.handlers.packed import with_vectors

MESSAGE_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""What a client takes by default (4 MiB), less room for bitmap, errors and epochs."""
CHUNK_BYTES = 1024 * 1024


class BatchesHandler:
    """The RPCs of many rows."""

    _cache: Cache

    async def BatchGet(self, request: pb.BatchGetRequest, _context: Any) -> bytes:
        fmt = messages.read_format(request.format)
        found = await self._cache.get(messages.caller(), request.layer, split_keys(request.keys), fmt)
        hits = found.hits
        check_fits(len(hits), fmt.row_bytes)
        return with_vectors(pb.BatchGetResponse(**what_was_found(found)), hits)

    async def BatchPut(self, request: pb.BatchPutRequest, _context: Any) -> pb.BatchPutResponse:
        return pb.BatchPutResponse(**fate(await self._put(request)))

    async def StreamGet(self, requests: AsyncIterator[pb.StreamGetRequest], _context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            fmt = messages.read_format(request.format)
            keys = split_keys(request.keys)
            step = max(1, CHUNK_BYTES // fmt.row_bytes)
            for start in range(0, len(keys), step):
                chunk = keys[start : start + step]
                found = await self._cache.get(messages.caller(), request.layer, chunk, fmt)
                reply = pb.StreamGetResponse(row_count=len(chunk), **what_was_found(found))
                yield with_vectors(reply, found.hits)

    async def StreamPut(
        self, requests: AsyncIterator[pb.StreamPutRequest], _context: Any
    ) -> AsyncIterator[pb.StreamPutResponse]:
        async for request in requests:
            yield pb.StreamPutResponse(**fate(await self._put(request)))

    async def Publish(self, request: pb.PublishRequest, _context: Any) -> pb.PublishResponse:
        keys, ttl = split_keys(request.keys), messages.read_seconds(request, "ttl")
        who = messages.caller()
        if request.WhichOneof("source") == "rows":
            rows = messages.read_rows(request.rows)
            outcome = await self._cache.publish(who, request.layer, keys, rows, ttl)
        else:
            outcome = await self._cache.promote(who, request.layer, request.source_layer, keys, ttl)
        current_record().set(resource=outcome.layer, metadata={"keys": len(keys), "published": sum(outcome.stored)})
        return pb.PublishResponse(**fate(outcome))

    async def _put(self, request: pb.BatchPutRequest | pb.StreamPutRequest) -> Outcome:
        keys, rows = split_keys(request.keys), messages.read_rows(request.rows)
        ttl = messages.read_seconds(request, "ttl")
        return await self._cache.put(messages.caller(), request.layer, keys, rows, ttl)


def check_fits(rows: int, row_bytes: int) -> None:
    """Raise BatchTooLarge when one message cannot hold so many rows."""
    if rows * row_bytes > MESSAGE_BYTES:
        raise BatchTooLarge(MESSAGE_BYTES // row_bytes)


def what_was_found(found: Lookup) -> dict[str, Any]:
    """The fields that every reply to a get has, all but the vectors."""
    return {
        "hits": bitmap.pack([entry is not None for entry in found.entries]),
        "errors": messages.write_errors(found.faults),
        "epochs": messages.write_epochs(found.epochs),
    }


def fate(outcome: Outcome) -> dict[str, Any]:
    """The fields that every reply to a put has."""
    return {
        "stored": bitmap.pack(outcome.stored),
        "errors": messages.write_errors(outcome.faults),
        "epoch": messages.write_epoch(outcome.layer, outcome.epoch),
    }
