"""A copy of the journals beyond this machine, as values.

Copies carry each leaf's exact bytes, which tie an entry to the signed tree, and beside them the few members that a
fleet is asked by. None of these is personal: a copy lies outside the reach of this machine's keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from stockade_audit.daemon.domain.errors import CopyRefused
from stockade_audit.entry import parse_time
from stockade_audit.tree import Frontier, leaf_hash

# What a copy keeps of an entry beside its leaf and its time: members of the leaf, as text, "" for none.
COLUMNS: Final = ("id", "service", "action", "agent_type", "domain", "reason", "rule", "status", "trace_id")


@dataclass(frozen=True, slots=True)
class Copied:
    """How much of a journal the copy has: its first `size` entries, which have this root."""

    slot: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class CopiedEntry:
    """One entry as the copy has it; times in whole µs, since that is what databases keep."""

    position: int
    hash: bytes
    leaf: bytes
    time_us: int
    columns: tuple[str, ...]


def copied_entry(position: int, leaf: bytes) -> CopiedEntry:
    """How the copy has the leaf at this position."""
    members = orjson.loads(leaf)
    columns = tuple(_text(members.get(name, "")) for name in COLUMNS)
    return CopiedEntry(position, leaf_hash(leaf), leaf, parse_time(members["time"]) // 1000, columns)


def grow(tree: Frontier, slot: str, entries: Sequence[CopiedEntry], root: bytes) -> None:
    """Add the entries' hashes to what the copy has; CopyRefused unless they continue it and lead to `root`."""
    if entries[0].position != tree.size:
        raise CopyRefused(slot, f"it has {tree.size} entries, and position {entries[0].position} does not come next")
    for entry in entries:
        tree.append(entry.hash)
    if tree.root() != root:
        raise CopyRefused(slot, f"its {tree.size} entries would have another root than the journal's")


def _text(value: Any) -> str:
    return str(value).replace("\0", "")  # PostgreSQL's text has no NUL
