"""Vectors of functions, from the cache where it has them and from the model where it does not."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np
from numpy.typing import NDArray
from stockade_agent.embeddings import CachedEmbedder, Counts
from stockade_agent.offline_model import embed as offline_embed
from stockade_agent.offline_model import offline_model

API = "unix:/run/stockade/api.sock"
"""The door to Stockade's services; it tells them who we are."""


@dataclass(frozen=True)
class Embedded:
    """Vectors, [texts, dimensions], how many came from where, and the seconds it took."""

    vectors: NDArray[np.float32]
    counts: Counts
    seconds: float


def embed(texts: Sequence[str]) -> Embedded:
    """Embed `texts`, each once in the life of its cache entry."""
    trace = os.environ.get("TRACEPARENT")
    metadata = (("traceparent", trace),) if trace else ()
    with grpc.insecure_channel(os.environ.get("STOCKADE_API", API)) as channel:
        embedder = CachedEmbedder(channel, offline_model(), offline_embed, metadata=metadata)
        started = time.perf_counter()
        vectors = embedder(texts)
        return Embedded(vectors, embedder.counts, time.perf_counter() - started)
