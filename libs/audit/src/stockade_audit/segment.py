"""A journal's files: segments of one header frame and then commit frames, on space filled with zeroes ahead.

    frame  = magic (4) ‖ length of body (u32 LE) ‖ CRC-32 of body (u32 LE) ‖ body
    header = JSON {version, slot, number, first, edge, previous_end, open_intents, rotation}
    commit = count (u32) ‖ count of (length (u32) ‖ leaf) ‖ the signed checkpoint after these leaves

Version 1 (headers that name none) had what is personal in the open; since version 2 it is sealed (`sealing.py`).

Filling ahead matters: `posix_fallocate` alone leaves unwritten extents, whose conversion doubles each `fdatasync`.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

import orjson

from stockade_audit.errors import JournalDamaged
from stockade_audit.keys import sync_directory
from stockade_audit.tree import Frontier

VERSION: Final = 2
SEGMENT_BYTES: Final = 16 << 20
HEADER_MAGIC: Final = b"STKH"
COMMIT_MAGIC: Final = b"STKC"
FILE_MODE: Final = 0o640  # the daemon reads through the group of the journals' directory

_FRAME = Struct("<4sII")
_U32 = Struct("<I")
_NAME = re.compile(r"\d{8}\.seg")
_FILL = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says before its first commit.

    `first` is the position of its first leaf and `edge` the tree's frontier before it. The segment before it ends at
    `previous_end`; bytes behind that were never acknowledged. `open_intents` maps the ids of INTENT entries that were
    not closed then to the numbers of their segments. `rotation` is the note by which the key before has handed over to
    the one that signs from here on; empty while the key is the same.
    """

    slot: str
    number: int
    first: int = 0
    edge: tuple[bytes, ...] = ()
    previous_end: int = 0
    open_intents: dict[str, int] = field(default_factory=dict)
    rotation: str = ""
    version: int = VERSION

    def encode(self) -> bytes:
        """The header's frame."""
        members = {
            "slot": self.slot,
            "number": self.number,
            "first": self.first,
            "edge": [h.hex() for h in self.edge],
            "previous_end": self.previous_end,
            "open_intents": self.open_intents,
            "rotation": self.rotation,
            "version": self.version,
        }
        return frame(HEADER_MAGIC, orjson.dumps(members))

    @property
    def frontier(self) -> Frontier:
        """The tree before this segment's first leaf."""
        return Frontier(self.first, list(self.edge))


@dataclass(frozen=True, slots=True)
class Commit:
    """One group commit as it lies in a segment: `leaves` are (offset in the file, leaf), `end` is where it stops."""

    offset: int
    end: int
    leaves: list[tuple[int, bytes]]
    note: bytes


def frame(magic: bytes, body: bytes) -> bytes:
    """A body under its magic, length and checksum."""
    return _FRAME.pack(magic, len(body), crc32(body)) + body


def encode_commit(leaves: list[bytes], note: bytes) -> bytes:
    """The frame of one group commit."""
    lengths = map(_U32.pack, map(len, leaves))
    counted = chain.from_iterable(zip(lengths, leaves, strict=True))
    return frame(COMMIT_MAGIC, b"".join((_U32.pack(len(leaves)), *counted, note)))


def decode_frame(data: bytes | memoryview, offset: int, magic: bytes) -> tuple[memoryview, int] | None:
    """The body of the whole, intact frame at `offset` and the offset behind it; None when there is none."""
    view = memoryview(data)
    start = offset + _FRAME.size
    if start > len(view):
        return None
    found, length, checksum = _FRAME.unpack_from(view, offset)
    body = view[start : start + length]
    if found != magic or len(body) != length or crc32(body) != checksum:
        return None
    return body, start + length


def frame_end(data: bytes, magic: bytes) -> int:
    """Where the frame that begins `data` says it ends; 0 when none begins there."""
    if len(data) < _FRAME.size or not data.startswith(magic):
        return 0
    return _FRAME.size + int(_FRAME.unpack_from(data)[1])


def decode_header(data: bytes, path: Path) -> tuple[Header, int] | None:
    """The header and the offset of the first commit; None for a segment that was never begun (zeroes)."""
    decoded = decode_frame(data, 0, HEADER_MAGIC)
    if decoded is None:
        if any(data[: _FRAME.size]):
            raise JournalDamaged(f"{path}: the header is damaged; restore the file from its copy")
        return None
    body, end = decoded
    members = {"version": 1, **orjson.loads(body)}
    if members["version"] > VERSION:
        raise JournalDamaged(f"{path} was written by a later version of Stockade: install that one")
    edge = tuple(bytes.fromhex(h) for h in members.pop("edge"))
    return Header(edge=edge, **members), end


def commits(data: bytes, offset: int, base: int = 0) -> Iterator[Commit]:
    """The intact commits of `data` from `offset` on, until the first place that holds none.

    `base` is where `data` begins in the file; offsets given and returned are the file's.
    """
    while (decoded := decode_frame(data, offset - base, COMMIT_MAGIC)) is not None:
        body, end = decoded
        yield _decode_commit(body, offset, end + base)
        offset = end + base


def _decode_commit(body: memoryview, offset: int, end: int) -> Commit:
    (count,) = _U32.unpack_from(body)
    at, file_at = _U32.size, offset + _FRAME.size
    leaves = []
    for _ in range(count):
        (length,) = _U32.unpack_from(body, at)
        at += _U32.size
        leaves.append((file_at + at, bytes(body[at : at + length])))
        at += length
    return Commit(offset, end, leaves, bytes(body[at:]))


def segment_path(directory: Path, number: int) -> Path:
    """The file of a segment."""
    return directory / f"{number:08d}.seg"


def segment_numbers(directory: Path) -> list[int]:
    """The numbers of a journal's segments, in order."""
    return sorted(int(name[:8]) for name in os.listdir(directory) if _NAME.fullmatch(name))


def fill_spare(directory: Path, size: int) -> None:
    """Have `spare`, a file of zeroes that will be the next segment; nothing is left behind when space runs out.

    Never call it twice at a time: the one would write zeroes into what the other has made a segment of.
    """
    spare, aside = directory / "spare", directory / ".spare"
    if spare.exists():
        return
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        os.fchmod(fd, FILE_MODE)
        for start in range(0, size, len(_FILL)):
            write_all(fd, _FILL[: size - start], start)
        os.fsync(fd)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    aside.rename(spare)
    sync_directory(directory)


def begin_segment(directory: Path, header: Header) -> tuple[int, int]:
    """Turn the spare into the segment of `header`: its descriptor, and the offset of its first commit."""
    spare = directory / "spare"
    fd = os.open(spare, os.O_RDWR)
    try:
        data = header.encode()
        write_all(fd, data, 0)
        os.fdatasync(fd)
        spare.rename(segment_path(directory, header.number))
        sync_directory(directory)
    except OSError:
        os.close(fd)
        raise
    return fd, len(data)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of it at `offset`; OSError when that cannot be."""
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
