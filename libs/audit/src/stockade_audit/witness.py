"""Witnesses keep every head they are given, and take a new one only when it continues the last.

A witness is worth what separates it from the machine it watches: put the directory on another machine's storage or
under another owner.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from stockade_audit.entry import format_time
from stockade_audit.head import Head, check_continues
from stockade_audit.keys import VerifierKey, sync_directory, write_durably

Proofs = Mapping[str, Sequence[bytes]]


class Witness(Protocol):
    """Keeps heads of one origin. Blocking; OSError or AuditError when it cannot be reached."""

    def last(self) -> Head | None:
        """The last head kept."""
        ...

    def add(self, head: Head, proofs: Proofs) -> None:
        """Keep a head, durably; HeadRefused when it does not continue the last. A head it has already is no error."""
        ...

    def heads(self) -> Iterator[Head]:
        """Every head kept, oldest first."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class MemoryWitness:
    """For tests, and to say what a witness does."""

    def __init__(self) -> None:
        self._kept: list[Head] = []

    def last(self) -> Head | None:
        return self._kept[-1] if self._kept else None

    def add(self, head: Head, proofs: Proofs) -> None:
        last = self.last()
        if last is not None and last.note == head.note:
            return
        if last is not None:
            check_continues(last, head, proofs)
        self._kept.append(head)

    def heads(self) -> Iterator[Head]:
        yield from self._kept

    def close(self) -> None:
        pass


class DirectoryWitness:
    """A directory with one file of heads a day, an NDJSON line each: `{"sequence": …, "note": …}`.

    The key is trusted when it is first seen and kept beside the heads.
    """

    def __init__(self, directory: Path, key: VerifierKey) -> None:
        """Nothing is touched yet: a witness that cannot be reached must keep nobody from starting."""
        self._directory = directory
        self._offered = key
        self._kept_key: VerifierKey | None = None
        self._last: Head | None = None

    def last(self) -> Head | None:
        self._key()
        return self._last

    def add(self, head: Head, proofs: Proofs) -> None:
        key = self._key()
        if self._last is not None and self._last.note == head.note:
            return
        opened = Head.open(head.note, key)
        if self._last is not None:
            check_continues(self._last, opened, proofs)
        self._append(opened)
        self._last = opened

    def heads(self) -> Iterator[Head]:
        for path in head_files(self._directory):
            for note in read_notes(path):
                yield Head.unverified(note)

    def close(self) -> None:
        pass

    def _append(self, head: Head) -> None:
        path = self._directory / f"heads-{format_time(head.time_ns)[:10]}.ndjson"
        is_new = not path.exists()
        line = json.dumps({"sequence": head.sequence, "note": head.note.decode()}, ensure_ascii=False) + "\n"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            end = _cut_unfinished_line(fd)
            if os.write(fd, line.encode()) < len(line.encode()):
                os.ftruncate(fd, end)
                raise OSError(f"{path} took only a part of the head")
            os.fsync(fd)
        finally:
            os.close(fd)
        if is_new:
            sync_directory(self._directory)

    def _key(self) -> VerifierKey:
        """The key that is kept; the first time, what is kept is read."""
        if self._kept_key is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            kept = self._directory / "heads.pub"
            if not kept.exists():
                write_durably(kept, f"{self._offered}\n".encode(), 0o644)
            key = VerifierKey.parse(kept.read_text())
            self._last = self._read_last(key)
            self._kept_key = key
        return self._kept_key

    def _read_last(self, key: VerifierKey) -> Head | None:
        for path in reversed(head_files(self._directory)):
            notes = list(read_notes(path))
            if notes:
                return Head.open(notes[-1], key)
        return None


def _cut_unfinished_line(fd: int) -> int:
    """Drop what a crash left of a line; returns the file's end."""
    end = os.fstat(fd).st_size
    if end and os.pread(fd, 1, end - 1) != b"\n":
        end = os.pread(fd, end, 0).rfind(b"\n") + 1
        os.ftruncate(fd, end)
    return end


def head_files(directory: Path) -> list[Path]:
    """The files of heads in a witness's directory, oldest first."""
    return sorted(directory.glob("heads-*.ndjson"))


def read_notes(path: Path) -> Iterator[bytes]:
    """The notes of one file; a line that was not finished (a crash while it was written) is passed over."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)["note"].encode()
