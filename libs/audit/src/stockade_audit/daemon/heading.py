"""Signs a head over all journals and hands it to the witness."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from stockade_audit.daemon.domain.ports import Heads
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.head import NO_HEAD, Head, JournalHead
from stockade_audit.keys import SigningKey
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

    def sign(self) -> Head | None:
        """A new head when a journal has grown, and once a minute; None when there is nothing new to say."""
        with self._lock:
            return self._sign()

    def _sign(self) -> Head | None:
        marks = self.indexer.marks()
        last = self.heads.last()
        now = time.time_ns()
        if last is not None and last.journals == marks and now - last.time_ns < SIGN_OF_LIFE_S * 1_000_000_000:
            return None
        sequence, previous = (last.sequence + 1, last.hash) if last else (1, NO_HEAD)
        head = Head(sequence, now, previous, marks).signed(self.key)
        self.heads.add(head)
        return head

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
