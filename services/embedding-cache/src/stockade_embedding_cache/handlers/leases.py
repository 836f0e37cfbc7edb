"""Computed once: who computes what is missing."""

from typing import Any

from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb

from stockade_embedding_cache.domain import bitmap
from stockade_embedding_cache.domain.computing import LEASE_S, Computing
from stockade_embedding_cache.domain.key import split_keys
from stockade_embedding_cache.handlers import messages
from stockade_embedding_cache.handlers.batches import check_fits, fate, what_was_found
from stockade_embedding_cache.handlers.packed import with_vectors


class LeasesHandler:
    """The RPCs of get-or-compute."""

    _computing: Computing

    async def LeaseCompute(self, request: pb.LeaseComputeRequest, _context: Any) -> bytes:
        fmt, keys = messages.read_format(request.format), split_keys(request.keys)
        check_fits(len(keys), fmt.row_bytes)  # before anything is granted
        lease = await self._computing.lease(
            messages.caller(),
            request.layer,
            keys,
            fmt,
            messages.read_seconds(request, "lease_ttl") or LEASE_S,
            messages.read_seconds(request, "wait") or 0.0,
        )
        reply = pb.LeaseComputeResponse(
            granted=bitmap.pack(lease.granted),
            lease_id=lease.lease_id,
            lease_expire_time=messages.timestamp(lease.expires) if lease.lease_id else None,
            **what_was_found(lease.found),
        )
        return with_vectors(reply, lease.found.hits)

    async def CompleteCompute(self, request: pb.CompleteComputeRequest, _context: Any) -> pb.CompleteComputeResponse:
        outcome = await self._computing.complete(
            messages.caller(),
            request.layer,
            request.lease_id,
            split_keys(request.keys),
            messages.read_rows(request.rows),
            messages.read_seconds(request, "ttl"),
        )
        return pb.CompleteComputeResponse(**fate(outcome))

    async def ReleaseCompute(self, request: pb.ReleaseComputeRequest, _context: Any) -> pb.ReleaseComputeResponse:
        released = await self._computing.release(
            messages.caller(), request.layer, request.lease_id, split_keys(request.keys)
        )
        return pb.ReleaseComputeResponse(released_count=released)
