"""Reading a journal in order, from any position on, and only what is indexed."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from stockade_audit.errors import JournalDamaged
from stockade_audit.hashes import HashFile
from stockade_audit.reader import Follower, Located, Place, read_header
from stockade_audit.segment import segment_numbers, segment_path
from stockade_audit.tree import leaf_hash

BATCH: Final = 4096


class Reading:
    """The leaves of one journal from a position on, each held to the hash that was stored when it was indexed."""

    def __init__(self, directory: Path, hashes: Callable[[], HashFile], position: int) -> None:
        self._directory, self._hashes, self._position = directory, hashes, position
        self._follower: Follower | None = None
        self._read: deque[Located] = deque()

    def take(self, end: int) -> list[Located]:
        """The next entries before position `end`, at most BATCH. JournalDamaged when they are not what was indexed.

        The journal's writer may have given up a commit that was read ahead: then it is read once more.
        """
        try:
            return list(self._take(end))
        except JournalDamaged:
            self._forget()
            return list(self._take(end))

    def close(self) -> None:
        """Let go of the segment."""
        self._forget()

    def _take(self, end: int) -> Iterator[Located]:
        hashes = self._hashes()
        for position in range(self._position, min(end, self._position + BATCH)):
            located = self._next(position)
            if leaf_hash(located.leaf) != hashes.node(0, position):
                raise JournalDamaged(f"{self._directory}: entry {position} is not the one that was indexed")
            self._position = position + 1
            yield located

    def _next(self, position: int) -> Located:
        if self._follower is None:
            self._follower = Follower(self._directory, Place(_segment_of(self._directory, position)))
        while not self._read or self._read[0].position < position:
            if self._read:
                self._read.popleft()
            elif found := self._follower.poll():
                self._read.extend(found)
            else:
                raise JournalDamaged(f"{self._directory}: entry {position} cannot be read")
        return self._read.popleft()

    def _forget(self) -> None:
        if self._follower is not None:
            self._follower.close()
        self._follower = None
        self._read.clear()


def _segment_of(directory: Path, position: int) -> int:
    """The segment that holds a position."""
    holding = 0
    for number in segment_numbers(directory):
        begun = read_header(segment_path(directory, number))
        if begun is None or begun[0].first > position:
            break
        holding = number
    return holding
