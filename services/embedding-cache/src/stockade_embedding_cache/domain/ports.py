"""What the cache needs of the outside.

One conformance suite for each port, tests/contract/embedding_cache, holds for every adapter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stockade_embedding_cache.domain.entry import Batch, Entry, Quota, Size
from stockade_embedding_cache.domain.vector import Format

Clock = Callable[[], float]
"""Seconds since 1970; tests turn it."""


class StoreUnavailable(ConnectionError):
    """The backend does not answer, and what was asked must not be done halfway."""

    def __init__(self, backend: str) -> None:
        super().__init__(f"the cache's backend ({backend}) does not answer: retry when it is back")
        self.backend = backend


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a put: keys that exceed a quota by themselves, entries that made room, the layer's epoch."""

    refused: frozenset[bytes]
    evicted: int
    epoch: int


class Listed(NamedTuple):
    """An entry without its numbers."""

    key: bytes
    format: Format
    writer: str
    created: float
    expires: float


class Store(Protocol):
    """Entries in layers. An entry that has expired is not there, whether pruned or not.

    An epoch never goes back; it advances when entries of the layer are removed by `delete`, `clear` or
    `clear_writer`, so that copies made before can be told from copies made after.
    """

    name: str

    @property
    def quota(self) -> Quota:
        """Most that one layer may hold."""
        ...

    @property
    def total(self) -> Quota:
        """Most that all layers together may hold."""
        ...

    @property
    def degraded_since(self) -> float | None:
        """When the backend stopped answering; None while it answers."""
        ...

    async def get(self, layer: str, keys: Sequence[bytes]) -> Batch:
        """Entries in the order of `keys`, each as it was put or not at all. Raises StoreUnavailable."""
        ...

    async def has(self, layer: str, keys: Sequence[bytes]) -> list[bool]:
        """Which keys are there, in order. Not a use. Raises StoreUnavailable."""
        ...

    async def put(self, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        """Store or replace entries; those of this layer that are least useful make room.

        Raises StoreUnavailable.
        """
        ...

    async def delete(self, layer: str, keys: Sequence[bytes]) -> int:
        """Remove entries, count them, advance the epoch. Raises StoreUnavailable."""
        ...

    async def clear(self, layer: str) -> int:
        """Remove all of a layer, count it, advance the epoch. Raises StoreUnavailable."""
        ...

    async def clear_writer(self, writer: str, layer: str = "") -> dict[str, int]:
        """Remove a writer's entries in one layer or all: counts by layer, whose epochs advance.

        Raises StoreUnavailable.
        """
        ...

    async def epoch(self, layer: str) -> int:
        """The layer's epoch; 0 for a layer that never was. Raises StoreUnavailable."""
        ...

    async def page(self, layer: str, *, after: bytes = b"", limit: int, writer: str = "") -> Sequence[Listed]:
        """Live entries in key order, those behind `after`. Raises StoreUnavailable."""
        ...

    async def size(self, layer: str) -> Size:
        """Live entries of a layer and their bytes. Raises StoreUnavailable."""
        ...

    async def sizes(self) -> dict[str, Size]:
        """Every layer's size; expired entries may still count. Raises StoreUnavailable."""
        ...

    async def prune(self) -> Size:
        """Remove what has expired, and say how much it was. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


class Leases(Protocol):
    """Who computes which key. Atomic per key; a lease that ran out is free again."""

    async def acquire(self, layer: str, keys: Sequence[bytes], lease_id: str, ttl_s: float) -> list[bool]:
        """Take the keys that nobody holds: a bit for each."""
        ...

    async def release(self, layer: str, keys: Sequence[bytes], lease_id: str) -> int:
        """Give back those of `keys` that this lease holds, and count them."""
        ...

    async def wait(self, layer: str, keys: Sequence[bytes], timeout_s: float) -> None:
        """Return when one of `keys` may have become free, or after `timeout_s`."""
        ...
