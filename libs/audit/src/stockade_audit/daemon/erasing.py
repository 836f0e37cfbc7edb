"""Forgets: subjects that are erased, and months that are over. What is forgotten can still be verified.

The order makes a crash harmless: a tombstone, then the keys, then what was made from the entries they opened (index,
rollups, spans, holds). Each step may be done again, and `resume` does them all, for every tombstone: after a crash, and
after a backup was put back.
"""

import fcntl
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from stockade_audit.daemon.domain.hold import Hold, check_free, free
from stockade_audit.daemon.domain.ports import Holds, Spans
from stockade_audit.daemon.domain.retention import due
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.keystore import KeptKey, KeyStore
from stockade_audit.pseudonyms import Pseudonym
from stockade_audit.reader import journals
from stockade_audit.tombstones import Tombstone, Tombstones


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many keys were destroyed, and how many rows of the index lost what was personal."""

    keys: int = 0
    rows: int = 0


@dataclass(slots=True)
class Eraser:
    """Blocking; callers wait for each other. Raises KeysUnavailable, OSError."""

    root: Path
    keys: KeyStore
    tombstones: Tombstones
    indexer: Indexer
    spans: Spans
    holds: Holds
    pseudonym: Pseudonym
    _lock: Lock = field(default_factory=Lock)

    def erase(self, subject: str) -> Forgotten:
        """Forget a subject. Raises SubjectHeld when a hold covers any of it."""
        with self._lock:
            kept = self.keys.kept(subject)
            check_free(kept, self.holds.all())
            name = self.pseudonym(subject)
            self.tombstones.add(Tombstone("ERASED", _numbers(kept), frozenset({name})))
            return self._forget(_numbers(kept), {name})

    def dispose(self, retention: Mapping[str, int], month: str) -> dict[str, list[KeptKey]]:
        """What retention lets go in this month and no hold covers, by class. Nothing is done to it yet."""
        found: dict[str, list[KeptKey]] = {}
        for key in free(due(self.keys.kept(), retention, month), self.holds.all()):
            found.setdefault(key.name.entry_class, []).append(key)
        return found

    def forget(self, kept: Collection[KeptKey]) -> Forgotten:
        """Forget what these keys open, but for what a hold has come to cover."""
        with self._lock:
            numbers = _numbers(free(kept, self.holds.all()))
            self.tombstones.add(Tombstone("RETENTION", numbers))
            return self._forget(numbers, set())

    def place(self, hold: Hold) -> None:
        """Place a hold; an erasure under way is waited for."""
        with self._lock:
            self.holds.add(hold)

    def resume(self) -> Forgotten:
        """Do again what every tombstone says."""
        with self._lock:
            return self._forget(self.tombstones.numbers, self.tombstones.subjects)

    def is_undone(self) -> bool:
        """Whether keys are back that were destroyed: a backup was restored."""
        return bool(self.keys.find(self.tombstones.numbers))

    def names(self) -> dict[str, str]:
        """Whose pseudonym is whose, of those whose keys are kept."""
        return {self.pseudonym(subject): subject for subject in self.keys.subjects()}

    def waiting_for(self) -> list[str]:
        """The slots whose process may still hold a key that was destroyed. One that does not run holds none."""
        generation, confirmed = self.keys.generation(), self.keys.confirmed()
        late = [directory for directory in journals(self.root) if confirmed.get(directory.name) != generation]
        return [directory.name for directory in late if _is_locked(directory / "lock")]

    def _forget(self, numbers: Collection[int], subjects: Collection[str]) -> Forgotten:
        destroyed = self.keys.destroy(numbers)
        rows = self.indexer.forget_keys(numbers)
        self.spans.forget(subjects)
        for hold in self.holds.all(released=True):
            if hold.released_ns and (name := self.pseudonym(hold.subject)) in subjects:
                self.holds.rename(hold.subject, name)
        return Forgotten(destroyed, rows)

    def until_confirmed(self, seconds: float) -> list[str]:
        """Wait until every process has dropped what was destroyed, but no longer than that; the slots still to come."""
        deadline = time.monotonic() + seconds
        while (waiting := self.waiting_for()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return waiting


def _numbers(kept: Collection[KeptKey]) -> frozenset[int]:
    return frozenset(key.number for key in kept)


def _is_locked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
