"""Heads that this daemon keeps for others: a witness for each origin, in a directory of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final

from stockade_audit.daemon.domain.errors import TooManyOrigins
from stockade_audit.head import Head, HeadRefused, is_origin
from stockade_audit.keys import VerifierKey
from stockade_audit.witness import DirectoryWitness, Proofs

MOST: Final = 256  # origins: who may call could otherwise fill the disk with names


@dataclass(slots=True)
class Witnesses:
    """Blocking; callers wait for each other."""

    directory: Path
    _opened: dict[str, DirectoryWitness] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, note: bytes, key: VerifierKey, proofs: Proofs) -> Head:
        """Keep a head of the origin that `key` is named after. HeadRefused when it does not continue the last one."""
        head = Head.unverified(note)
        if head.origin != key.name or not is_origin(key.name):
            raise HeadRefused(f"the key of {key.name[:80]!r} does not sign heads of {head.origin}")
        with self._lock:
            witness = self._of(key.name) or self._begin(key)
            witness.add(head, proofs)
        return head

    def last(self, origin: str) -> Head | None:
        """The last head kept of an origin."""
        with self._lock:
            witness = self._of(origin)
            return witness.last() if witness else None

    def page(self, origin: str, limit: int, after: int) -> list[Head]:
        """At most `limit` heads behind sequence `after`, oldest first."""
        with self._lock:
            witness = self._of(origin)
            kept: Iterator[Head] = witness.heads() if witness else iter(())
            return list(islice((head for head in kept if head.sequence > after), limit))

    def _of(self, origin: str) -> DirectoryWitness | None:
        if not is_origin(origin):
            return None
        public = self._directory(origin) / "heads.pub"
        if origin not in self._opened and public.exists():
            self._opened[origin] = DirectoryWitness(public.parent, VerifierKey.parse(public.read_text()))
        return self._opened.get(origin)

    def _begin(self, key: VerifierKey) -> DirectoryWitness:
        self.directory.mkdir(parents=True, exist_ok=True)
        if sum(1 for _ in self.directory.iterdir()) >= MOST:
            raise TooManyOrigins(MOST)
        self._opened[key.name] = DirectoryWitness(self._directory(key.name), key)
        return self._opened[key.name]

    def _directory(self, origin: str) -> Path:
        return self.directory / origin.replace("/", "_")
