"""Exports: entries with their exact bytes, and one proof per journal that ties them to a signed head.

    {"type":"export","version":1,"filter":{…},"head":"<the signed note>"}
    {"type":"entry","journal":"sandbox-0","position":17,"entry":<the leaf's exact bytes>}
    {"type":"opening","journal":"sandbox-0","position":17,"part":0,"salt":"<hex>","value":"<exact bytes, as text>"}
    …
    {"type":"proof","journal":"sandbox-0","size":…,"entries":…,"hashes":["…"]}
    {"type":"end","entries":…}

NDJSON is these lines; JSON the same lines as an array, one a line, so that both are checked by the same few rules.
The hashes are those of `multiproof`. Openings follow their entry, one for each part of its `sealed` that could be
opened: SHA-256(salt ‖ value) is that part's `hash`. A part without one was erased, or its key is lost. Version 1 had
none, since nothing was sealed.
"""

import base64
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stockade_audit import multiproof
from stockade_audit.daemon.domain.ports import Index
from stockade_audit.daemon.domain.query import Filter, Row
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.daemon.leaves import read_leaves
from stockade_audit.daemon.ocsf import ocsf_event
from stockade_audit.daemon.tables import csv_lines
from stockade_audit.head import Head
from stockade_audit.sealing import Opened, Opening

VERSION = 2


@dataclass(slots=True)
class Export:
    """One export, pinned to a head: entries that came later are not in it. Blocking, in bounded memory."""

    root: Path
    index: Index
    indexer: Indexer
    head: Head
    filter_: Filter
    entries: int = field(default=0, init=False)

    def leaves(self) -> Iterator[tuple[str, int, Opened]]:
        """(slot, position, entry) of each entry, by slot and position."""
        for slot, mark in sorted(self.head.journals.items()):
            for row, entry in read_leaves(self.root, self.indexer, self.rows(slot, mark.size)):
                self.entries += 1
                yield slot, row.position, entry

    def rows(self, slot: str, size: int) -> Iterable[Row]:
        """Which of a journal's first `size` entries are meant, by position."""
        return self.index.scan(self.filter_, slot, 0, size)

    def lines(self) -> Iterator[bytes]:
        """The lines of the module's description, without their ends."""
        wanted = {name: value for name, value in asdict(self.filter_).items() if value}
        yield _line(type="export", version=VERSION, filter=wanted, head=self.head.note.decode())
        positions: dict[str, array[int]] = {slot: array("Q") for slot in self.head.journals}
        for slot, position, entry in self.leaves():
            positions[slot].append(position)
            yield b'{"type":"entry","journal":"%b","position":%d,"entry":%b}' % (slot.encode(), position, entry.leaf)
            for opening in entry.openings:
                yield _opening(slot, position, opening)
        for slot, mark in sorted(self.head.journals.items()):
            hashes = multiproof.prove(self.indexer.hashes(slot).node, mark.size, positions[slot])
            encoded = [base64.b64encode(hashed).decode() for hashed in hashes]
            yield _line(type="proof", journal=slot, size=mark.size, entries=len(positions[slot]), hashes=encoded)
        yield _line(type="end", entries=self.entries)


def ndjson(export: Export) -> Iterator[bytes]:
    """A line each."""
    for line in export.lines():
        yield line + b"\n"


def json_array(export: Export) -> Iterator[bytes]:
    """One array of all lines."""
    opening = b"[\n"
    for line in export.lines():
        yield opening + line
        opening = b",\n"
    yield b"\n]\n"


def table(export: Export) -> Iterator[bytes]:
    """CSV, which cannot be verified."""
    return csv_lines(export.leaves())


def ocsf(export: Export) -> Iterator[bytes]:
    """OCSF events, which cannot be verified."""
    for leaf in export.leaves():
        yield ocsf_event(*leaf) + b"\n"


def chunks(parts: Iterable[bytes], size: int = 256 << 10) -> Iterator[bytes]:
    """The same bytes in pieces of about `size`."""
    gathered: list[bytes] = []
    length = 0
    for part in parts:
        gathered.append(part)
        length += len(part)
        if length >= size:
            yield b"".join(gathered)
            gathered, length = [], 0
    if gathered:
        yield b"".join(gathered)


def _opening(slot: str, position: int, opening: Opening) -> bytes:
    shown = {"part": opening.part, "salt": opening.salt.hex(), "value": opening.value.decode()}
    return _line(type="opening", journal=slot, position=position, **shown)


def _line(**members: Any) -> bytes:
    return json.dumps(members, ensure_ascii=True, separators=(",", ":")).encode()
