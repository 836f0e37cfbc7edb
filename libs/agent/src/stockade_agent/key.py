"""Keys of embeddings: which vectors may stand for each other (docs/embedding-keys.md).

A key is SHA-256 over length-prefixed fields, so that no two different inputs can spell the same bytes. Whatever changes
a vector is in it: query and document of one text, two revisions of one model, f32 and f16 have different keys.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

SPEC = "stockade.embeddingcache.key/1"
DTYPES = ("f32", "f16", "int8")
ROLES = ("", "query", "document")


@dataclass(frozen=True)
class EmbeddingModel:
    """Everything but the text that decides what vector a text gets.

    Attributes:
        provider: who serves the model, e.g. "openai", or "local".
        model: its name.
        revision: a version or a digest of its weights; never "latest".
        dimensions: numbers in a vector.
        dtype: how they are kept: f32, f16 or int8.
        role: "query" or "document" for models that tell them apart, else empty.
        normalise: whether vectors are scaled to length one.
        parameters: anything else that changes a vector, e.g. {"prompt": "search: "}.

    Raises:
        ValueError: for a dtype or role that does not exist, or dimensions below one.
    """

    provider: str
    model: str
    revision: str
    dimensions: int
    dtype: str = "f32"
    role: str = ""
    normalise: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is unknown: choose one of {', '.join(DTYPES)}")
        if self.role not in ROLES:
            raise ValueError(f"role {self.role!r} is unknown: choose query, document or none")
        if self.dimensions < 1:
            raise ValueError(f"dimensions must be at least 1, not {self.dimensions}")

    def key(self, text: str) -> bytes:
        """The 32-byte key of `text`, taken as it is: no trimming, no Unicode normalisation.

        Raises:
            UnicodeEncodeError: for a text with a lone surrogate, which no encoder can see.
        """
        digest = self._prefix.copy()
        digest.update(_framed(text.encode()))
        return digest.digest()

    @cached_property
    def _prefix(self) -> "_Hash":
        parameters = b"".join(_framed(part) for pair in sorted(_encoded(self.parameters)) for part in pair)
        fields = (
            *(text.encode() for text in (SPEC, self.provider, self.model, self.revision)),
            str(self.dimensions).encode(),
            *(text.encode() for text in (self.dtype, self.role)),
            b"1" if self.normalise else b"0",
            parameters,
        )
        return hashlib.sha256(b"".join(map(_framed, fields)))


def _encoded(parameters: Mapping[str, str]) -> Iterable[tuple[bytes, bytes]]:
    return ((name.encode(), value.encode()) for name, value in parameters.items())


def _framed(data: bytes) -> bytes:
    """`data` behind its length, eight bytes, big-endian."""
    return struct.pack(">Q", len(data)) + data
