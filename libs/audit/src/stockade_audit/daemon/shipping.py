"""Ships the journals to their copy beyond this machine: what a head may cover, leaf by leaf, in order."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stockade_audit.daemon.domain.copy import Copied, copied_entry
from stockade_audit.daemon.domain.errors import CopyRefused, CopyUnavailable
from stockade_audit.daemon.domain.ports import Copy
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.daemon.reading import Reading
from stockade_audit.errors import JournalDamaged

WATCHED: Final = 600  # seconds of growth remembered


@dataclass(slots=True)
class Shipper:
    """`ship` blocks and has one caller; the rest may be asked at any time. `problem` is why shipping stands
    still, `lag_s` what `watch` gave last.

    What the copy has is asked for at first, and again after it could not be reached: so shipping goes on where it was,
    whichever side was started again. A journal that the copy does not take is left alone until the daemon is started
    again (`refused` says why); the others go on.
    """

    root: Path
    indexer: Indexer
    copy: Copy
    sizes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    lag_s: float = 0.0
    _seen: deque[tuple[float, dict[str, int]]] = field(default_factory=deque)
    _unproven: dict[str, Copied] = field(default_factory=dict)
    _readings: dict[str, Reading] = field(default_factory=dict)
    _asked: bool = False

    def ship(self) -> bool:
        """Copy some of what the copy lacks; whether there was anything. Raises CopyUnavailable."""
        try:
            if not self._asked:
                self._ask()
            marks = self.indexer.marks()
            shipped = [self._ship(slot, mark.size) for slot, mark in marks.items() if slot not in self.refused]
            return any(shipped)
        except CopyUnavailable:
            self._asked = False
            raise

    def behind(self) -> int:
        """How many indexed entries the copy does not have."""
        return sum(max(0, size - self.sizes.get(slot, 0)) for slot, size in self.indexer.sizes().items())

    def watch(self, now: float) -> float:
        """How many seconds ago the oldest entry was indexed that the copy lacks; ask about once a second."""
        if len(self._seen) < WATCHED:
            self._seen.append((now, self.indexer.sizes()))
        while self._seen and all(size <= self.sizes.get(slot, 0) for slot, size in self._seen[0][1].items()):
            self._seen.popleft()
        self.lag_s = now - self._seen[0][0] if self._seen else 0.0
        return self.lag_s

    def close(self) -> None:
        """Let go of the copy and the segments."""
        self.copy.close()
        self._forget_readings()

    def _ask(self) -> None:
        self._forget_readings()
        copied = self.copy.copied()
        self._unproven = {found.slot: found for found in copied}
        self.sizes = {found.slot: found.size for found in copied}
        self._asked = True

    def _ship(self, slot: str, size: int) -> bool:
        first = self.sizes.get(slot, 0)
        try:
            if not self._proven(slot, size) or size <= first:
                return False
            entries = [copied_entry(at.position, at.leaf) for at in self._reading(slot, first).take(size)]
            end = first + len(entries)
            self.copy.add(slot, entries, self.indexer.hashes(slot).root(end))
        except (CopyRefused, JournalDamaged) as error:
            self.refused[slot] = str(error)
            return False
        self.sizes[slot] = end
        return True

    def _proven(self, slot: str, size: int) -> bool:
        """Whether our journal is known to begin with what the copy has; CopyRefused when it does not."""
        copied = self._unproven.get(slot)
        if copied is None:
            return True
        if size < copied.size:
            return False  # not indexed so far yet, or cut: `verify` tells
        if self.indexer.hashes(slot).root(copied.size) != copied.root:
            raise CopyRefused(slot, f"its first {copied.size} entries are not those that were copied")
        del self._unproven[slot]
        return True

    def _reading(self, slot: str, first: int) -> Reading:
        if slot not in self._readings:
            self._readings[slot] = Reading(self.root / slot, lambda: self.indexer.hashes(slot), first)
        return self._readings[slot]

    def _forget_readings(self) -> None:
        for reading in self._readings.values():
            reading.close()
        self._readings.clear()
