"""Which keys were destroyed on purpose: kept where no restore of a backup reaches, and applied after each one.

A file with an NDJSON line each, written before the first key is destroyed; so it is also what a crash in between goes
on by:

    {"time": …, "reason": "ERASED" or "RETENTION", "keys": [16 hex digits, …], "subjects": [pseudonym, …]}
"""

import json
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stockade_audit.entry import format_time
from stockade_audit.keys import sync_directory


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Keys destroyed together, and the pseudonyms of their subjects; these are empty for what retention disposed of."""

    reason: str
    keys: frozenset[int]
    subjects: frozenset[str] = frozenset()
    time_ns: int = field(default_factory=time.time_ns)

    def line(self) -> bytes:
        """Its line in the file."""
        told = {
            "time": format_time(self.time_ns),
            "reason": self.reason,
            "keys": [f"{number:016x}" for number in sorted(self.keys)],
            "subjects": sorted(self.subjects),
        }
        return json.dumps(told).encode() + b"\n"


class Tombstones:
    """All of them; contains the numbers of keys that were destroyed."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one. Raises OSError."""
        self._path = path
        self._numbers: set[int] = set()
        self.subjects: set[str] = set()
        for line in _lines(path):
            told = json.loads(line)
            self._remember({int(number, 16) for number in told["keys"]}, told["subjects"])

    def __contains__(self, number: object) -> bool:
        return number in self._numbers

    @property
    def numbers(self) -> Collection[int]:
        """Of all keys destroyed."""
        return frozenset(self._numbers)

    def add(self, tombstone: Tombstone) -> None:
        """Keep one, durably. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            line = tombstone.line()
            if (end := os.fstat(fd).st_size) and os.pread(fd, 1, end - 1) != b"\n":
                line = b"\n" + line  # a crash left a line unfinished
            if os.write(fd, line) < len(line):
                raise OSError(f"{self._path} took only a part of a tombstone")
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(self._path.parent)
        self._remember(tombstone.keys, tombstone.subjects)

    def _remember(self, numbers: Collection[int], subjects: Collection[str]) -> None:
        self._numbers.update(numbers)
        self.subjects.update(subjects)


def _lines(path: Path) -> Iterator[bytes]:
    """Whole lines: what a crash left unfinished was not acted upon."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and line.startswith(b"{") and line.rstrip().endswith(b"}"):
                yield line
