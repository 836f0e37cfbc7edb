"""The service as the contract has it, from the handlers of its parts."""

from collections.abc import Mapping
from typing import Any

from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as rpc

from stockade_embedding_cache.domain.computing import Computing
from stockade_embedding_cache.handlers.batches import BatchesHandler
from stockade_embedding_cache.handlers.entries import EntriesHandler
from stockade_embedding_cache.handlers.leases import LeasesHandler
from stockade_embedding_cache.handlers.upkeep import UpkeepHandler

NAME = pb.DESCRIPTOR.services_by_name["EmbeddingCacheService"].full_name


class EmbeddingCacheHandler(
    EntriesHandler, BatchesHandler, LeasesHandler, UpkeepHandler, rpc.EmbeddingCacheServiceServicer
):
    """stockade.embeddingcache.v1.EmbeddingCacheService."""

    def __init__(self, computing: Computing) -> None:
        self._cache, self._computing = computing.cache, computing


def _layer(request: Any) -> Mapping[str, Any]:
    return {"resource": request.layer}


def _writer(request: pb.ClearWriterRequest) -> Mapping[str, Any]:
    return {"resource": request.layer or "*", "metadata": {"writer": request.writer}}


DESCRIBE = {"Delete": _layer, "Publish": _layer, "ClearLayer": _layer, "ClearWriter": _writer}
"""What a request says for the audit record before its effect."""
