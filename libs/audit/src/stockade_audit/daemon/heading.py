"""Signs a head over all journals and hands it to the witness."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Final

from stockade_audit.daemon.domain.ports import Heads
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.head import NO_HEAD, Head, JournalHead
from stockade_audit.keys import SigningKey, VerifierKey, sync_directory
from stockade_audit.reader import rotations_from
from stockade_audit.tree import consistency_proof
from stockade_audit.witness import Proofs, Witness

SIGN_OF_LIFE_S: Final = 60
BACKLOG: Final = 100  # heads handed over at a time after the witness was away


@dataclass(slots=True)
class HeadKeeper:
    """Blocking; two callers wait for each other. `witnessed` is the last head known to be kept by the witness."""

    indexer: Indexer
    heads: Heads
    witness: Witness
    key: SigningKey
    witnessed: Head | None = None
    problem: str = ""
    _lock: Lock = field(default_factory=Lock)

    def resume(self) -> None:
        """Go on behind the witness's last head, should ours have been lost or be an old copy."""
        kept, ours = self.witness.last(), self.heads.last()
        self.witnessed = kept
        if kept is not None and (ours is None or ours.sequence < kept.sequence):
            self.heads.add(kept)
            self.heads.mark_witnessed(kept.sequence)

    def newest(self) -> Head:
        """A head that covers everything indexed by now."""
        head = self.sign() or self.heads.last()
        assert head is not None, "the first time there is always something to sign"
        return head

    def sign(self, anyway: bool = False) -> Head | None:
        """A new head when a journal has grown, and once a minute, or `anyway`; None when there is nothing to say."""
        with self._lock:
            return self._sign(anyway)

    def _sign(self, anyway: bool = False) -> Head | None:
        marks = self.indexer.marks()
        last = self.heads.last()
        now = time.time_ns()
        if (
            not anyway
            and last is not None
            and last.journals == marks
            and now - last.time_ns < SIGN_OF_LIFE_S * 1_000_000_000
        ):
            return None
        return self._add(last, marks, last.rotations if last else (), self.key)

    def _add(
        self, last: Head | None, marks: Mapping[str, JournalHead], rotations: tuple[str, ...], key: SigningKey
    ) -> Head:
        """Sign a head that comes next after `last`, and keep it."""
        sequence, previous = (last.sequence + 1, last.hash) if last else (1, NO_HEAD)
        head = Head(sequence, time.time_ns(), previous, marks)
        signed = replace(head, rotations=rotations, journal_rotations=self._rotations(last, marks)).signed(key)
        self.heads.add(signed)
        return signed

    def _rotations(self, last: Head | None, marks: Mapping[str, JournalHead]) -> dict[str, tuple[str, ...]]:
        """How the journals whose keys are others than in `last` came to have them."""
        found: dict[str, tuple[str, ...]] = {}
        for slot, old in last.journals.items() if last else ():
            if slot in marks and marks[slot].key != old.key:
                found[slot] = tuple(rotations_from(self.indexer.root / slot, VerifierKey.parse(old.key)))
        return found

    def rotate(self, path: Path) -> VerifierKey:
        """Sign with a new key from here on. The head that says so is kept before the key at `path` is replaced."""
        with self._lock:
            last, aside = self.heads.last() or self._sign(), path.with_suffix(".key.next")
            assert last is not None, "the first time there is always something to sign"
            following = SigningKey.create(aside, self.key.verifier.name)
            rotations = (*last.rotations, self.key.hand_over(following.verifier))
            self._add(last, self.indexer.marks(), rotations, following)
            self.key = following
            aside.rename(path)
            sync_directory(path.parent)
            return following.verifier

    def hand_over(self) -> int:
        """Give the witness what it does not keep yet; returns how many heads. Raises what the witness raises."""
        with self._lock:
            return self._hand_over()

    def _hand_over(self) -> int:
        pending = self.heads.unwitnessed(BACKLOG)
        for head in pending:
            last = self.witness.last()
            self.witness.add(head, self._proofs(last.journals if last else {}, head))
            self.heads.mark_witnessed(head.sequence)
            self.witnessed = head
        return len(pending)

    def _proofs(self, old: Mapping[str, JournalHead], new: Head) -> Proofs:
        proofs: dict[str, list[bytes]] = {}
        for slot, mark in old.items():
            now = new.journals.get(slot)
            if now is not None and mark.size <= now.size:
                proofs[slot] = consistency_proof(self.indexer.hashes(slot).node, mark.size, now.size)
        return proofs


def finish_rotation(path: Path, heads: Heads) -> None:
    """Take the new key at `path` if a crash came after its first head was kept; drop it if the crash came before."""
    aside, last = path.with_suffix(".key.next"), heads.last()
    if not aside.exists():
        return
    following = SigningKey.load(aside, last.origin if last else "").verifier
    if last is not None and last.rotations and last.rotations[-1].startswith(f"{following} "):
        aside.rename(path)
    else:
        aside.unlink()
    sync_directory(path.parent)
