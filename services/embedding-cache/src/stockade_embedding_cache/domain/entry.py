"""Entries: a packed vector with who stored it and how long it lives."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stockade_embedding_cache.domain.vector import Format

DAY_S = 86_400.0
JITTER = 0.05


class Entry(NamedTuple):
    """One kept vector. A named tuple: ten thousand of them cost a third of what dataclasses with dicts would.

    `created` and `expires` are seconds since 1970.
    """

    format: Format
    data: bytes
    writer: str
    created: float
    expires: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries found in one layer, a place for each key asked, and the layer's epoch when it was asked.

    `damaged` counts stored entries that did not match their checksum and were dropped, `near` those that a copy in
    memory answered.
    """

    entries: Sequence[Entry | None]
    epoch: int
    damaged: int = 0
    near: int = 0


@dataclass(frozen=True, slots=True)
class Size:
    """Entries of a layer and bytes of their vectors."""

    entries: int = 0
    bytes: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.entries + other.entries, self.bytes + other.bytes)

    def __sub__(self, other: "Size") -> "Size":
        return Size(self.entries - other.entries, self.bytes - other.bytes)


@dataclass(frozen=True, slots=True)
class Quota:
    """Most entries, and most bytes of vectors, that something may hold."""

    entries: int
    bytes: int

    def exceeded_by(self, size: Size) -> bool:
        """Whether `size` is too much."""
        return size.entries > self.entries or size.bytes > self.bytes

    def surplus(self, size: Size) -> int:
        """About how many entries are too many; 0 when none is, at least 1 when `size` is too much."""
        if not self.exceeded_by(size):
            return 0
        average = max(1, size.bytes // size.entries)
        return max(size.entries - self.entries, -(-(size.bytes - self.bytes) // average), 1)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long entries live: the time asked for, 24 hours by default, give or take 5 % each.

    The jitter keeps what was stored together from expiring together.
    """

    clock: Callable[[], float]
    default_s: float = DAY_S
    random: Callable[[], float] = field(default=random.random)

    def expiry(self, ttl_s: float | None) -> float:
        """When an entry that is stored now expires."""
        ttl = self.default_s if ttl_s is None else ttl_s
        return self.clock() + ttl * (1 + JITTER * (2 * self.random() - 1))
