"""Where a journal stands when it is opened: its tree, its end, its open intents, and a torn tail cut off."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from stockade_audit.checkpoint import Checkpoint, open_note
from stockade_audit.entry import PENDING, Action
from stockade_audit.errors import JournalDamaged
from stockade_audit.keys import VerifierKey
from stockade_audit.segment import (
    COMMIT_MAGIC,
    VERSION,
    Commit,
    Header,
    commits,
    decode_frame,
    decode_header,
    segment_numbers,
    segment_path,
)
from stockade_audit.tree import Frontier, leaf_hash

_ID = re.compile(rb'"id":"([^"\\]+)"')
_CLOSES = re.compile(rb'"intent_id":"([^"\\]+)"')
OPENS = (  # keys are sorted, so the action comes first
    f'{{"action":"{Action.INTENT}"'.encode(),
    f'{{"action":"{Action.LEASE_GRANTED}"'.encode(),
)
_ALLOWED = f'{{"action":"{Action.ALLOWED}"'.encode()
_PENDING = f'"status":"{PENDING}"'.encode()  # within a text its quotes would be escaped
_METADATA = b',"metadata":{'  # what stands behind it is the caller's and proves nothing


@dataclass(slots=True)
class Standing:
    """A journal as found: `number` and `offset` are where the next commit goes, `torn` bytes were cut behind it."""

    number: int
    offset: int
    frontier: Frontier
    open_intents: dict[str, int]
    recent: dict[str, int]
    last_note: bytes = b""
    torn: int = 0
    version: int = VERSION


def entry_id(leaf: bytes) -> str:
    """The id in a leaf's exact bytes."""
    match = _ID.search(leaf)
    return match[1].decode() if match else ""


def note_intent(open_intents: dict[str, int], leaf: bytes, identity: str, number: int) -> None:
    """Keep count of what is intended, lent or allowed with its outcome to come, and not yet closed."""
    if leaf.startswith(OPENS) or (leaf.startswith(_ALLOWED) and _PENDING in leaf):
        open_intents[identity] = number
    elif b'"intent_id"' in leaf and (match := _CLOSES.search(leaf.partition(_METADATA)[0])):
        open_intents.pop(match[1].decode(), None)


def recover(directory: Path, key: VerifierKey) -> Standing | None:
    """Read the last segment, cut a torn tail, and say where the journal stands; None for a journal not yet begun.

    Only the last commit can be torn, since one is in flight at a time. Damage before it, a checkpoint that this key
    did not sign and a root that does not fit raise JournalDamaged: such a file is evidence and nothing is cut.
    """
    for number in reversed(segment_numbers(directory)):
        path = segment_path(directory, number)
        data = path.read_bytes()
        begun = decode_header(data, path)
        if begun is not None:
            return _stand(path, data, *begun, key)
        path.unlink()  # renamed but never begun: a crash between the two
    return None


def _stand(path: Path, data: bytes, header: Header, start: int, key: VerifierKey) -> Standing:
    standing = Standing(header.number, start, header.frontier, dict(header.open_intents), {}, version=header.version)
    for commit in commits(data, start):
        _replay(standing, commit, header.number)
    if standing.last_note:
        _check(path, standing, key)
    standing.torn = _cut_torn_tail(path, data, standing.offset)
    return standing


def _replay(standing: Standing, commit: Commit, number: int) -> None:
    for _, leaf in commit.leaves:
        identity = entry_id(leaf)
        standing.recent[identity] = standing.frontier.size
        note_intent(standing.open_intents, leaf, identity, number)
        standing.frontier.append(leaf_hash(leaf))
    standing.offset, standing.last_note = commit.end, commit.note


def _check(path: Path, standing: Standing, key: VerifierKey) -> None:
    checkpoint = Checkpoint.parse(open_note(standing.last_note, key))
    if (checkpoint.size, checkpoint.root) != (standing.frontier.size, standing.frontier.root()):
        raise JournalDamaged(
            f"{path}: its entries do not have the root its last checkpoint signed; keep it as evidence"
        )


def _cut_torn_tail(path: Path, data: bytes, end: int) -> int:
    tail = data[end:]
    torn = len(tail.rstrip(b"\0"))
    if torn and holds_commit(tail):
        raise JournalDamaged(
            f"{path}: damaged at byte {end}, with commits behind it; restore the file from its copy, and keep this one"
        )
    fd = os.open(path, os.O_RDWR)
    try:
        if torn:
            os.pwrite(fd, bytes(torn), end)
        os.fsync(fd)  # what a killed writer left unsynced is only trusted once it is durable
    finally:
        os.close(fd)
    return torn


def holds_commit(tail: bytes) -> bool:
    """Whether an intact commit lies somewhere in it (a leaf cannot hold one: a frame has NULs, JSON has none)."""
    at = tail.find(COMMIT_MAGIC)
    while at >= 0:
        if decode_frame(tail, at, COMMIT_MAGIC) is not None:
            return True
        at = tail.find(COMMIT_MAGIC, at + 1)
    return False


def find_leaves(directory: Path, wanted: dict[str, int]) -> dict[str, bytes]:
    """Leaves by the ids of their entries, looked for in the segments they are said to be in."""
    found: dict[str, bytes] = {}
    for number in sorted(set(wanted.values())):
        path = segment_path(directory, number)
        data = path.read_bytes()
        begun = decode_header(data, path)
        for commit in commits(data, begun[1]) if begun else ():
            for _, leaf in commit.leaves:
                if (identity := entry_id(leaf)) in wanted:
                    found[identity] = leaf
    return found
