"""What the service counts since it started."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """Counters of rows and entries; they only grow."""

    start: float
    hits: int = 0
    near_hits: int = 0
    misses: int = 0
    puts: int = 0
    refused_rows: int = 0
    evictions: int = 0
    pruned: int = 0
    damaged: int = 0
    leases_granted: int = 0

    def count_found(self, rows: Sequence[object | None], near: int) -> None:
        """Count rows that were asked for: None is a miss, `near` of the others were copies in memory."""
        misses = rows.count(None)
        self.hits += len(rows) - misses
        self.near_hits += near
        self.misses += misses
