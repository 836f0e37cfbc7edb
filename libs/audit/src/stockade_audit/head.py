"""Heads: one signed note over all journals, and whether one continues another.

    stockade.dev/audit/heads[/<node>]
    <sequence>
    <time, RFC 3339>
    previous <SHA-256 of the note before, hex; zeroes for the first>
    journal <slot> <size> <root, base64> <the journal's verifier key>
    …
    rotation <slot, or - for the heads' own key> <rotation, as in keys.py>
    …

Each names the one before by its hash, so that one signature stands for all heads up to it. The first line is the
origin, under whose name the key signs; machines that share a witness have a node's name each. Every head has all
rotations of its own key, so that it can be checked with the first; a journal's stand in the first head after them.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from stockade_audit.checkpoint import open_note, sign_note
from stockade_audit.entry import format_time, parse_time
from stockade_audit.errors import AuditError
from stockade_audit.keys import SigningKey, VerifierKey, follow_all
from stockade_audit.tree import is_consistent

ORIGIN: Final = "stockade.dev/audit/heads"
NO_HEAD: Final = bytes(32)
_OWN: Final = "-"
_ORIGIN = re.compile(re.escape(ORIGIN) + r"/[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


class HeadRefused(AuditError):
    """A head does not continue the last one; `journal` is the slot that shows it, or empty."""

    def __init__(self, message: str, journal: str = "") -> None:
        super().__init__(message)
        self.journal = journal


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The first `size` entries of a journal have this root; its checkpoints are signed with `key`."""

    size: int
    root: bytes
    key: str


@dataclass(frozen=True, slots=True)
class Head:
    """What all journals were at one moment."""

    sequence: int
    time_ns: int
    previous: bytes
    journals: Mapping[str, JournalHead]
    note: bytes = b""
    origin: str = ORIGIN
    rotations: tuple[str, ...] = ()
    journal_rotations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def hash(self) -> bytes:
        """By which the next head names this one."""
        return sha256(self.note).digest()

    def signed(self, key: SigningKey) -> "Head":
        """The same with its note, under the key's name."""
        named = replace(self, origin=key.verifier.name)
        return replace(named, note=sign_note(named._text(), key))

    def _text(self) -> str:
        lines = [self.origin, str(self.sequence), format_time(self.time_ns), f"previous {self.previous.hex()}"]
        lines += [
            f"journal {slot} {head.size} {base64.b64encode(head.root).decode()} {head.key}"
            for slot, head in sorted(self.journals.items())
        ]
        lines += [f"rotation {_OWN} {rotation}" for rotation in self.rotations]
        lines += [f"rotation {slot} {r}" for slot, found in sorted(self.journal_rotations.items()) for r in found]
        return "\n".join(lines) + "\n"

    @classmethod
    def open(cls, note: bytes, key: VerifierKey) -> "Head":
        """The head of a note that `key` signed, or one that took its place; AuditError when it is none."""
        signer = follow_all(key, cls.unverified(note).rotations)
        return cls.parse(open_note(note, signer), note)

    @classmethod
    def unverified(cls, note: bytes) -> "Head":
        """The head of a note whose signature is not looked at: of one we keep, or that a later head names."""
        return cls.parse(note.decode().rpartition("\n\n")[0] + "\n", note)

    @classmethod
    def parse(cls, text: str, note: bytes) -> "Head":
        """The head of a note's text."""
        try:
            origin, sequence, time, previous, *lines = text.splitlines()
            if not is_origin(origin) or not previous.startswith("previous "):
                raise ValueError(origin)
            heads = dict(_parse_journal(line) for line in lines if not line.startswith("rotation "))
            rotations = _parse_rotations(lines)
            own = rotations.pop(_OWN, ())
            before = bytes.fromhex(previous[9:])
            return cls(int(sequence), parse_time(time), before, heads, note, origin, own, rotations)
        except ValueError as error:
            raise AuditError(f"not a head: {text[:80]!r}") from error


def _parse_journal(line: str) -> tuple[str, JournalHead]:
    word, slot, size, root, key = line.split(" ")
    if word != "journal":
        raise ValueError(line)
    return slot, JournalHead(int(size), base64.b64decode(root, validate=True), key)


def _parse_rotations(lines: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        if line.startswith("rotation "):
            _, slot, rotation = line.split(" ", 2)
            found[slot] = (*found.get(slot, ()), rotation)
    return found


def origin_of(node: str) -> str:
    """The origin of a machine's heads; without a node's name, that of a machine that shares its witness with none."""
    return f"{ORIGIN}/{node}" if node else ORIGIN


def is_origin(text: str) -> bool:
    """Whether heads may have this origin."""
    return text == ORIGIN or bool(_ORIGIN.fullmatch(text))


def check_continues(last: Head, new: Head, proofs: Mapping[str, Sequence[bytes]]) -> None:
    """Raise HeadRefused unless `new` comes after `last` and each of its journals continues, as `proofs` show."""
    if new.origin != last.origin:
        raise HeadRefused(f"the head is one of {new.origin}, not of {last.origin}")
    if new.sequence != last.sequence + 1:
        raise HeadRefused(f"head {new.sequence} does not come next after {last.sequence}, the last one kept")
    if new.previous != last.hash:
        raise HeadRefused(f"head {new.sequence} names another head {last.sequence} than the one kept")
    if new.rotations[: len(last.rotations)] != last.rotations:
        raise HeadRefused(f"head {new.sequence} tells other rotations of its key than head {last.sequence}")
    for slot, old in last.journals.items():
        now = new.journals.get(slot)
        if now is None:
            raise HeadRefused(f"the journal {slot} is missing: {old.size} entries are witnessed", slot)
        if now.key != old.key and not _took_its_place(old.key, now.key, new.journal_rotations.get(slot, ())):
            raise HeadRefused(f"the journal {slot} is signed with another key", slot)
        if not is_consistent(old.size, old.root, now.size, now.root, list(proofs.get(slot, ()))):
            raise HeadRefused(f"the journal {slot} with {now.size} entries does not continue the {old.size} kept", slot)


def _took_its_place(old: str, now: str, rotations: Sequence[str]) -> bool:
    return bool(rotations) and str(follow_all(VerifierKey.parse(old), rotations)) == now
