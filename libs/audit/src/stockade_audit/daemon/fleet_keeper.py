"""Signs the fleet's head: over the latest head of every node, once what that covers has been copied."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

from stockade_audit.daemon.domain.errors import FleetDiffers, NodeNotFound
from stockade_audit.daemon.domain.ports import Fleet, Ledger
from stockade_audit.errors import AuditError
from stockade_audit.fleet import FleetHead, Member, advanced, root_of
from stockade_audit.head import NO_HEAD, ORIGIN, Head, origin_of
from stockade_audit.keys import SigningKey, VerifierKey

SIGN_OF_LIFE_S: Final = 60
SILENT_S: Final = 180.0  # a daemon that runs signs a head a minute at least


def node_of(origin: str) -> str:
    """The node whose heads have this origin; empty for one that was given no name."""
    return origin.removeprefix(ORIGIN).removeprefix("/")


@dataclass(frozen=True, slots=True)
class Standing:
    """The last head of the fleet and its members as their signer knows them, and the leaves that the database has."""

    last: FleetHead | None
    members: dict[str, Member]
    leaves: dict[str, bytes]


@dataclass(slots=True)
class FleetKeeper:
    """Blocking; two callers wait for each other.

    `wrong` says what is the matter with a node, by its name: heads that do not continue, none for too long. `problem`
    is why no head of the fleet can be signed at all. `joined` has the nodes that were taken in and nobody has told of.
    """

    fleet: Fleet
    ledger: Ledger
    key: SigningKey
    silent_s: float = SILENT_S
    wrong: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    joined: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def sign(self) -> None:
        """A new head of the fleet where a node has gone on, and once a minute.

        Raises CopyUnavailable; FleetDiffers where the database has not what was signed last.
        """
        with self._lock:
            last, members = self._resumed()
            changed = self._changes(members)
            is_due = last is None or time.time_ns() - last.time_ns > SIGN_OF_LIFE_S * 1_000_000_000
            if changed or (is_due and members):
                self._add(last, members, changed)
            self.joined += [node_of(member.origin) for member in changed if member.origin not in members]

    def retire(self, node: str) -> Member:
        """Say that a node is gone for good: its log stays counted, and it may sign no more. NodeNotFound."""
        with self._lock:
            last, members = self._resumed()
            member = members.get(origin_of(node))
            if member is None:
                raise NodeNotFound(node)
            retired = replace(member, retired=True)
            if retired != member:
                self._add(last, members, [retired])
            self.wrong.pop(node, None)
            return retired

    def standing(self) -> Standing:
        """Where the fleet stands, as of one moment."""
        with self._lock:
            return Standing(self.ledger.last(), self.ledger.members(), self.fleet.published()[1])

    def close(self) -> None:
        """Let go of the database and the ledger."""
        self.fleet.close()
        self.ledger.close()

    def _resumed(self) -> tuple[FleetHead | None, dict[str, Member]]:
        """What we signed last. A head that was published just before a crash came is taken over."""
        last, members = self.ledger.last(), self.ledger.members()
        note, leaves = self.fleet.published()
        if note == (last.note if last else b""):
            return last, members
        found = self._following(last, note)
        published = {origin: Member.parse(leaf) for origin, leaf in leaves.items()}
        if found is None or found.root != root_of(published.values()):
            raise FleetDiffers(
                f"the database's last head of the fleet is {FleetHead.unverified(note).sequence if note else 'gone'}, "
                f"and the last one signed here is {last.sequence if last else 'none'}: restore the one or the other"
            )
        self.ledger.add(found, published.values())
        return found, published

    def _following(self, last: FleetHead | None, note: bytes) -> FleetHead | None:
        try:
            found = FleetHead.open(note, self.key.verifier)
        except AuditError:
            return None
        sequence, previous = (last.sequence + 1, last.hash) if last else (found.sequence, found.previous)
        return found if (found.sequence, found.previous) == (sequence, previous) else None

    def _changes(self, members: dict[str, Member]) -> list[Member]:
        """The members that have gone on, and new ones; tells in `wrong` what is the matter with the others."""
        heads, keys, copied = self.fleet.last_heads(), self.fleet.witness_keys(), self.fleet.copied()
        changed: list[Member] = []
        self.wrong = {}
        for origin in sorted(keys.keys() | members.keys()):
            member, node = members.get(origin), node_of(origin)
            if why := self._complaint(member, heads.get(origin)):
                self.wrong[node] = why
                continue
            try:
                following = self._advanced(member, origin, keys, copied.get(node, {}), heads.get(origin))
            except AuditError as error:
                self.wrong[node] = str(error)
                continue
            if following is not None and following != member:
                changed.append(following)
        return changed

    def _advanced(
        self, member: Member | None, origin: str, keys: dict[str, str], copied: dict[str, int], last: Head | None
    ) -> Member | None:
        if last is None or (member is not None and last.hash == member.hash):
            return member
        key = VerifierKey.parse(member.key if member else keys[origin])
        return advanced(member, key, self.fleet.heads(origin, member.sequence if member else 0), copied)

    def _complaint(self, member: Member | None, last: Head | None) -> str:
        if member is None:
            return ""
        if last is None or last.sequence < member.sequence:
            left = f"the last one there is {last.sequence}" if last else "none is left"
            return f"its heads were taken away: {member.sequence} is counted, and {left}"
        if member.retired:
            return f"it is retired, and signed head {last.sequence}" if last.sequence > member.sequence else ""
        silent_s = time.time() - last.time_ns / 1e9
        if silent_s > self.silent_s:
            node = node_of(member.origin)
            return f"no head for {silent_s:.0f} s: start it, or say that it is gone, `stockade audit retire {node}`"
        return ""

    def _add(self, last: FleetHead | None, members: dict[str, Member], changed: Collection[Member]) -> None:
        """Publish first: what only we knew could not be told from a database that was put back."""
        now = {**members, **{member.origin: member for member in changed}}
        sequence, previous = (last.sequence + 1, last.hash) if last else (1, NO_HEAD)
        head = FleetHead(sequence, time.time_ns(), previous, len(now), root_of(now.values())).signed(self.key)
        self.fleet.publish(head, changed)
        self.ledger.add(head, changed)
