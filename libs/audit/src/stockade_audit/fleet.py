"""The fleet's head: one signed note over the heads of all nodes that share a database.

    stockade.dev/audit/fleet
    <sequence>
    <time, RFC 3339>
    previous <SHA-256 of the note before, hex; zeroes for the first>
    nodes <count> <root of the RFC 6962 tree over the members' leaves, sorted by origin, base64>

A member's leaf is one line, `<origin> <sequence of its head> <SHA-256 of that head's note, hex> <active or retired>
<the first key of its heads>`. A member is never taken out: a node that is gone for good is retired, and its leaf stays,
so that nobody can take its log away without the root being another.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from stockade_audit.checkpoint import open_note, sign_note
from stockade_audit.entry import format_time, parse_time
from stockade_audit.errors import AuditError
from stockade_audit.head import Head, HeadRefused
from stockade_audit.keys import SigningKey, VerifierKey
from stockade_audit.tree import Frontier, leaf_hash
from stockade_audit.verification import problem_between

ORIGIN: Final = "stockade.dev/audit/fleet"
_STATES: Final = {False: "active", True: "retired"}


@dataclass(frozen=True, slots=True)
class Member:
    """A node as the fleet's head has it: up to which of its heads, and by which key they are believed."""

    origin: str
    sequence: int
    hash: bytes
    key: str
    retired: bool = False

    @property
    def leaf(self) -> bytes:
        """What stands for it in the fleet's tree."""
        return f"{self.origin} {self.sequence} {self.hash.hex()} {_STATES[self.retired]} {self.key}".encode()

    @classmethod
    def parse(cls, leaf: bytes) -> "Member":
        """The member of a leaf; AuditError when it is none."""
        try:
            origin, sequence, hashed, state, key = leaf.decode().split(" ")
            return cls(origin, int(sequence), bytes.fromhex(hashed), key, {"active": False, "retired": True}[state])
        except (ValueError, KeyError) as error:
            raise AuditError(f"not a member of a fleet: {leaf[:80]!r}") from error


@dataclass(frozen=True, slots=True)
class FleetHead:
    """What all nodes were at one moment."""

    sequence: int
    time_ns: int
    previous: bytes
    nodes: int
    root: bytes
    note: bytes = b""

    @property
    def hash(self) -> bytes:
        """By which the next one names this one."""
        return sha256(self.note).digest()

    def signed(self, key: SigningKey) -> "FleetHead":
        """The same with its note."""
        root = base64.b64encode(self.root).decode()
        lines = [ORIGIN, str(self.sequence), format_time(self.time_ns), f"previous {self.previous.hex()}"]
        return replace(self, note=sign_note("\n".join([*lines, f"nodes {self.nodes} {root}"]) + "\n", key))

    @classmethod
    def open(cls, note: bytes, key: VerifierKey) -> "FleetHead":
        """The head of a note that `key` signed; AuditError when it is none."""
        return cls.parse(open_note(note, key), note)

    @classmethod
    def unverified(cls, note: bytes) -> "FleetHead":
        """The head of a note whose signature is not looked at: of one that a later head names."""
        return cls.parse(note.decode("utf-8", "replace").rpartition("\n\n")[0] + "\n", note)

    @classmethod
    def parse(cls, text: str, note: bytes) -> "FleetHead":
        """The head of a note's text."""
        try:
            origin, sequence, time, previous, nodes = text.splitlines()
            words, (word, count, root) = previous.split(" "), nodes.split(" ")
            if (origin, words[0], word) != (ORIGIN, "previous", "nodes"):
                raise ValueError(text)
            before, tree = bytes.fromhex(words[1]), base64.b64decode(root, validate=True)
            return cls(int(sequence), parse_time(time), before, int(count), tree, note)
        except (ValueError, IndexError) as error:
            raise AuditError(f"not a head of a fleet: {text[:80]!r}") from error


def root_of(members: Iterable[Member]) -> bytes:
    """The root of the tree over these members' leaves."""
    tree = Frontier()
    for member in sorted(members, key=lambda member: member.origin):
        tree.append(leaf_hash(member.leaf))
    return tree.root()


def advanced(
    member: Member | None, key: VerifierKey, heads: Iterable[Head], copied: Mapping[str, int]
) -> Member | None:
    """The member with the newest of its heads whose entries have all been copied; as it was when none has come so far.

    `heads` begin with the one that the member has, or with the node's first. `copied` says how many entries of each
    journal there are. Raises HeadRefused when they do not continue each other or are not signed by `key`.
    """
    last, newest = None, None
    for head in heads:
        if problem := _problem(member, last, head):
            raise HeadRefused(problem)
        last = head
        if all(copied.get(slot, 0) >= mark.size for slot, mark in head.journals.items()):
            newest = head
    if newest is None or last is None:
        return member
    try:
        Head.open(last.note, key)  # which names all before it
    except AuditError as error:
        raise HeadRefused(str(error)) from error
    return Member(key.name, newest.sequence, newest.hash, str(key), member.retired if member else False)


def _problem(member: Member | None, last: Head | None, head: Head) -> str:
    if last is not None:
        return problem_between(last, head)
    if member is not None and (head.sequence, head.hash) != (member.sequence, member.hash):
        return f"head {head.sequence} is not head {member.sequence} that the fleet's head counts"
    return ""
