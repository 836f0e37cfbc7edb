"""Embeddings through the cache: computed once, given back in order, exactly as they were stored.

    embed = CachedEmbedder(channel, EmbeddingModel("local", "wordllama", "0.4.0", 256), model.embed)
    vectors = embed(["one text", "another"])   # [2, 256] of f32

Needs numpy (`pip install stockade-agent[embeddings]`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as rpc
from stockade.embeddingcache.v1 import vector_pb2

from stockade_agent.key import EmbeddingModel
from stockade_agent.near_cache import NearCache
from stockade_agent.packing import pack, row_bytes, unpack

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MESSAGE_BYTES = 3 * 1024 * 1024
"""Vectors in one message: below gRPC's default limit of 4 MiB."""
MOST_KEYS = 4096
TIMEOUT_S = 30.0
_WAIT, _LEASE = Duration(seconds=20), Duration(seconds=60)
_DTYPES = {"f32": vector_pb2.DTYPE_F32, "f16": vector_pb2.DTYPE_F16, "int8": vector_pb2.DTYPE_INT8}
_ABSENT = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


@dataclass(slots=True)
class Counts:
    """What became of the texts so far: answered in process, by the service, or computed; and refused to be kept."""

    near: int = 0
    hits: int = 0
    computed: int = 0
    refused: int = 0


class CachedEmbedder:
    """Wraps a function from texts to vectors so that each text is embedded once.

    Args:
        channel: to the cache: `unix:/run/stockade/api.sock` in a sandbox.
        model: what the vectors depend on beside the text.
        embed: from texts to vectors, [texts, dimensions]; called with what nobody has computed, in batches.
        layer: a private layer, for operators and services; an agent leaves it empty.
        batch_size: most texts given to `embed` at once.
        near: the cache in this process.
        metadata: sent with every call, e.g. a traceparent.
        progress: called with (texts done, texts in all) after each step of a long corpus.

    The cache can only help: while it does not answer, everything is computed.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        model: EmbeddingModel,
        embed: Callable[[Sequence[str]], "ArrayLike"],
        *,
        layer: str = "",
        batch_size: int = 64,
        near: NearCache | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.model = model
        self.counts = Counts()
        self._stub = rpc.EmbeddingCacheServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._embed, self._layer, self._batch_size = embed, layer, batch_size
        self._near = NearCache() if near is None else near
        self._metadata, self._progress = tuple(metadata), progress
        self._format = vector_pb2.VectorFormat(dimensions=model.dimensions, dtype=_DTYPES[model.dtype])

    def __call__(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """The vectors of `texts`, [texts, dimensions], in their order. What `embed` raises is passed on."""
        keys = [self.model.key(text) for text in texts]
        rows = {key: row for key in keys if (row := self._near.get(key)) is not None}
        self.counts.near += len(rows)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        for chunk in _chunks(missing, self._keys_in_message()):
            rows |= self._from_service(chunk)
            self._report(len(rows), len(set(keys)))
        return unpack(b"".join(rows[key] for key in keys), self.model.dimensions, self.model.dtype)

    def alone(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """The same vectors, all computed here: nothing is read from the cache or put into it."""
        keys = [self.model.key(text) for text in texts]
        rows: dict[bytes, bytes] = {}
        for chunk in _chunks(dict(zip(keys, texts, strict=True)), self._batch_size):
            rows |= self._compute(chunk)
        return unpack(b"".join(rows[key] for key in keys), self.model.dimensions, self.model.dtype)

    def _keys_in_message(self) -> int:
        return max(1, min(MOST_KEYS, MESSAGE_BYTES // row_bytes(self.model.dimensions, self.model.dtype)))

    def _from_service(self, texts: Mapping[bytes, str]) -> dict[bytes, bytes]:
        """Rows of `texts`, each found, computed here, or computed by another and waited for."""
        rows: dict[bytes, bytes] = {}
        try:
            while pending := [key for key in texts if key not in rows]:
                rows |= self._step({key: texts[key] for key in pending})
        except grpc.RpcError as error:
            if error.code() not in _ABSENT:
                raise
            rest = {key: text for key, text in texts.items() if key not in rows}
            rows |= self._compute(rest)
        return rows

    def _step(self, texts: Mapping[bytes, str]) -> dict[bytes, bytes]:
        keys = list(texts)
        lease = self._call(
            self._stub.LeaseCompute,
            pb.LeaseComputeRequest(
                layer=self._layer, keys=b"".join(keys), format=self._format, wait=_WAIT, lease_ttl=_LEASE
            ),
        )
        self._near.heed({epoch.layer: epoch.epoch for epoch in lease.epochs})
        found = self._found(keys, lease)
        unusable = [keys[error.row] for error in lease.errors]
        granted = [key for key, bit in zip(keys, _bits(lease.granted, len(keys)), strict=True) if bit]
        return found | self._under_lease(lease.lease_id, {key: texts[key] for key in granted + unusable})

    def _found(self, keys: Sequence[bytes], lease: pb.LeaseComputeResponse) -> dict[bytes, bytes]:
        hits = [key for key, bit in zip(keys, _bits(lease.hits, len(keys)), strict=True) if bit]
        found = dict(zip(hits, self._split(lease.vectors), strict=True))
        for key, row in found.items():
            self._near.put(key, row)
        self.counts.hits += len(found)
        return found

    def _under_lease(self, lease_id: str, texts: Mapping[bytes, str]) -> dict[bytes, bytes]:
        rows: dict[bytes, bytes] = {}
        try:
            for chunk in _chunks(texts, self._batch_size):
                computed = self._compute(chunk)
                self._complete(lease_id, computed)
                rows |= computed
        except Exception:
            self._release(lease_id, [key for key in texts if key not in rows])
            raise
        return rows

    def _compute(self, texts: Mapping[bytes, str]) -> dict[bytes, bytes]:
        if not texts:
            return {}
        vectors = np.asarray(self._embed(list(texts.values())), dtype=np.float32)
        if vectors.shape != (len(texts), self.model.dimensions):
            raise ValueError(
                f"the embedder gave {vectors.shape} for {len(texts)} texts of {self.model.dimensions} dimensions"
            )
        self.counts.computed += len(texts)
        return dict(zip(texts, self._split(pack(vectors, self.model.dtype)), strict=True))

    def _complete(self, lease_id: str, rows: Mapping[bytes, bytes]) -> None:
        keys = list(rows)
        packed = vector_pb2.Rows(format=self._format, vectors=b"".join(rows.values()))
        request = pb.CompleteComputeRequest(
            layer=self._layer, lease_id=lease_id or "none", keys=b"".join(keys), rows=packed
        )
        try:
            reply = self._call(self._stub.CompleteCompute, request)
        except grpc.RpcError as error:
            if error.code() not in _ABSENT:
                raise
            return  # nobody else has the vectors, and the caller has
        self._near.heed({reply.epoch.layer: reply.epoch.epoch})
        self.counts.refused += len(reply.errors)
        for key, bit in zip(keys, _bits(reply.stored, len(keys)), strict=True):
            if bit:
                self._near.put(key, rows[key])

    def _release(self, lease_id: str, keys: Iterable[bytes]) -> None:
        request = pb.ReleaseComputeRequest(layer=self._layer, lease_id=lease_id or "none", keys=b"".join(keys))
        try:
            self._call(self._stub.ReleaseCompute, request)
        except grpc.RpcError:
            return  # the lease runs out by itself

    def _call(self, method: Callable[..., Any], request: object) -> Any:
        return method(request, timeout=TIMEOUT_S, metadata=self._metadata)

    def _split(self, blob: bytes) -> list[bytes]:
        size = row_bytes(self.model.dimensions, self.model.dtype)
        return [blob[at : at + size] for at in range(0, len(blob), size)]

    def _report(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, total)


def _bits(bitmap: bytes, count: int) -> list[bool]:
    """Bits of a bitmap of the contract, least significant first."""
    return [bool(bitmap[i >> 3] >> (i & 7) & 1) for i in range(count)]


def _chunks(texts: Mapping[bytes, str], size: int) -> Iterable[dict[bytes, str]]:
    items = list(texts.items())
    return (dict(items[at : at + size]) for at in range(0, len(items), size))
