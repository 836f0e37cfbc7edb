"""Reading a journal that another process may be appending to."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stockade_audit.errors import AuditError, JournalDamaged
from stockade_audit.keys import VerifierKey, follow
from stockade_audit.segment import (
    COMMIT_MAGIC,
    HEADER_MAGIC,
    Commit,
    Header,
    commits,
    decode_header,
    frame_end,
    segment_numbers,
    segment_path,
)

CHUNK: Final = 4 << 20


class JournalRewound(JournalDamaged):
    """The writer gave up what it could not sync, and that was read already: read this journal again from `first`."""

    def __init__(self, path: Path, first: int) -> None:
        super().__init__(f"{path} goes back to position {first}")
        self.first = first


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading stands: the next commit is in this segment at this offset and begins at this position."""

    segment: int = 0
    offset: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class Located:
    """One leaf and where it lies."""

    position: int
    segment: int
    offset: int
    leaf: bytes


class Follower:
    """Reads commits from a place on, across segments, as far as they are written."""

    def __init__(self, directory: Path, place: Place | None = None) -> None:
        self.directory = directory
        self.place = place or Place()
        self.note = b""  # the checkpoint of the last commit read
        self.rotations: list[str] = []  # of the journal's key, as they were passed
        self._fd = -1

    def close(self) -> None:
        """Let go of the segment."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def sync(self) -> None:
        """Make what was read durable, so that nothing said about it can be taken back by a power cut."""
        if self._fd >= 0:
            os.fdatasync(self._fd)

    def poll(self, limit: int = 8192) -> list[Located]:
        """The leaves that have come, at least one commit if there is one and about `limit` at most.

        Raises JournalDamaged for bytes that no writer left, JournalRewound when a later segment takes some back.
        """
        found: list[Located] = []
        while len(found) < limit:
            chunk = self._read()
            if not chunk and not self._next_segment():
                break
            for commit in chunk:
                self._take(commit, found)
        return found

    def _take(self, commit: Commit, found: list[Located]) -> None:
        place = self.place
        found += [
            Located(place.position + i, place.segment, offset, leaf) for i, (offset, leaf) in enumerate(commit.leaves)
        ]
        self.place = Place(place.segment, commit.end, place.position + len(commit.leaves))
        self.note = commit.note

    def _read(self) -> list[Commit]:
        if not self._open():
            return []
        offset, length = self.place.offset, CHUNK
        data = os.pread(self._fd, length, offset)
        if (end := frame_end(data, COMMIT_MAGIC)) > len(data):  # a commit larger than a chunk
            data = os.pread(self._fd, end, offset)
        found = list(commits(data, offset, offset))
        begun = self._following()
        if begun is None:
            return found
        return [commit for commit in found if commit.offset < begun[0].previous_end]  # the rest was given up

    def _open(self) -> bool:
        if self._fd >= 0:
            return True
        try:
            self._fd = os.open(segment_path(self.directory, self.place.segment), os.O_RDONLY)
        except FileNotFoundError:
            return False
        if self.place.offset == 0:
            begun = read_header(segment_path(self.directory, self.place.segment))
            if begun is None:
                self.close()
                return False
            self.place = Place(self.place.segment, begun[1], begun[0].first)
        return True

    def _following(self) -> tuple[Header, int] | None:
        path = segment_path(self.directory, self.place.segment + 1)
        return read_header(path) if path.exists() else None

    def _next_segment(self) -> bool:
        """Go on to the next segment if the writer has; everything of this one was read."""
        begun = self._following() if self._fd >= 0 else None
        if begun is None:
            return False
        if self._read():  # came between the last look and the next segment
            return True
        header, offset = begun
        path = segment_path(self.directory, self.place.segment)
        if header.previous_end < self.place.offset:
            raise JournalRewound(path, header.first)
        if header.previous_end > self.place.offset or header.first != self.place.position:
            raise JournalDamaged(f"{path}: damaged at byte {self.place.offset}, position {self.place.position}")
        self.close()
        self.place = Place(header.number, offset, header.first)
        self.rotations += [header.rotation] if header.rotation else []
        return True


def read_header(path: Path) -> tuple[Header, int] | None:
    """A segment's header and the offset of its first commit; None when it was not begun."""
    with path.open("rb") as file:
        data = file.read(4096)
        if (end := frame_end(data, HEADER_MAGIC)) > len(data):
            data += file.read(end - len(data))
    return decode_header(data, path)


def rotations_of(directory: Path) -> Iterator[str]:
    """The rotations of a journal's key, in order."""
    for number in segment_numbers(directory):
        begun = read_header(segment_path(directory, number))
        if begun is not None and begun[0].rotation:
            yield begun[0].rotation


def rotations_from(directory: Path, key: VerifierKey) -> Iterator[str]:
    """Those that follow a key."""
    for rotation in rotations_of(directory):
        try:
            key = follow(key, rotation)
        except AuditError:
            continue
        yield rotation


def read_leaf(directory: Path, segment: int, offset: int, length: int) -> bytes:
    """A leaf's bytes from where the index says they lie."""
    fd = os.open(segment_path(directory, segment), os.O_RDONLY)
    try:
        return os.pread(fd, length, offset)
    finally:
        os.close(fd)


def journals(root: Path) -> Iterator[Path]:
    """The directories of all journals under `root`, by slot."""
    for directory in sorted(root.iterdir()) if root.is_dir() else ():
        if directory.is_dir() and segment_numbers(directory):
            yield directory
