"""The record as the handlers ask it: index, journals, proofs and heads in one place."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stockade_audit.daemon.copy_check import check_copy
from stockade_audit.daemon.domain.errors import EntryNotFound, JournalNotFound, KeyNotRotated, ProofNotPossible
from stockade_audit.daemon.domain.ports import Heads, Index
from stockade_audit.daemon.domain.query import Cursor, Filter, Indexed, Row
from stockade_audit.daemon.exporting import Export
from stockade_audit.daemon.heading import HeadKeeper
from stockade_audit.daemon.index_check import check_index
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.daemon.leaves import read_leaves
from stockade_audit.daemon.shipping import Shipper
from stockade_audit.errors import AuditError
from stockade_audit.head import Head
from stockade_audit.keys import VerifierKey
from stockade_audit.rotation import ask_rotation
from stockade_audit.sealing import Opened
from stockade_audit.tree import EMPTY_ROOT, consistency_proof, inclusion_proof
from stockade_audit.verification import Report, StoredHash, Verdict, verify_heads, verify_record
from stockade_audit.witness import Witness


@dataclass(frozen=True, slots=True)
class Page:
    """Entries as they were opened, how far the index was, and where the next page begins (None: nowhere)."""

    entries: list[tuple[Row, Opened]]
    indexed: list[Indexed]
    next: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """Hashes that lead from a leaf or a smaller tree to `root`, the root of `size` leaves."""

    size: int
    root: bytes
    hashes: list[bytes]


@dataclass(frozen=True, slots=True)
class Record:
    """Blocking: called on the bounded pool."""

    root: Path
    index: Index
    indexer: Indexer
    heads: Heads
    keeper: HeadKeeper
    witness: Witness
    key: VerifierKey
    shipper: Shipper | None = None

    def page(self, filter_: Filter, limit: int, newest_first: bool, after: Cursor | None) -> Page:
        """At most `limit` entries behind `after`."""
        indexed = self.index.indexed()
        rows = self.index.find(filter_, limit=limit + 1, newest_first=newest_first, after=after)
        entries = list(read_leaves(self.root, self.indexer, rows[:limit]))
        return Page(entries, indexed, rows[limit - 1].cursor if len(rows) > limit else None)

    def entry(self, identity: str) -> tuple[tuple[Row, Opened], Page]:
        """One entry, and those that speak of it."""
        indexed = self.index.indexed()
        row = self._row(identity)
        found, *related = read_leaves(self.root, self.indexer, [row, *self.index.related(identity)])
        return found, Page(related, indexed)

    def leaves(self, rows: Sequence[Row]) -> Iterator[tuple[Row, Opened]]:
        """Each row with its leaf, opened."""
        return read_leaves(self.root, self.indexer, rows)

    def behind(self, indexed: Sequence[Indexed], filter_: Filter) -> Iterator[tuple[Row, Opened]]:
        """What lies behind these places, by journal."""
        known = {state.slot: state.place.position for state in indexed}
        for state in self.index.indexed():
            rows = self.index.scan(filter_, state.slot, known.get(state.slot, 0), state.place.position)
            yield from read_leaves(self.root, self.indexer, rows)

    def export(self, filter_: Filter) -> Export:
        """An export pinned to a head of now."""
        return Export(self.root, self.index, self.indexer, self.keeper.newest(), filter_)

    def inclusion(self, identity: str, size: int) -> tuple[Row, Proof]:
        """That an entry is in its journal's tree of `size` leaves; 0 is as far as the last head goes."""
        row = self._row(identity)
        hashes = self.indexer.hashes(row.slot)
        size = size or self.keeper.newest().journals[row.slot].size
        _within(size, row.position + 1, hashes.size)
        return row, Proof(size, hashes.root(size), inclusion_proof(hashes.node, row.position, size))

    def rotate(self, slot: str, within_s: float) -> str:
        """Have a journal's process sign with another key, and wait until it does; that key's public line."""
        keys = {state.slot: state.key for state in self.index.indexed()}
        if not keys.get(slot):
            raise JournalNotFound(slot)
        ask_rotation(self.root, slot, keys[slot])
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            time.sleep(0.1)
            for state in self.index.indexed():
                if state.slot == slot and state.key != keys[slot]:
                    return state.key
        raise KeyNotRotated(slot)

    def consistency(self, slot: str, old: int, new: int) -> tuple[bytes, Proof]:
        """The root of the smaller tree, and that the larger one (0: as far as indexed) begins with it."""
        hashes = self.indexer.hashes(slot)
        new = new or hashes.size
        _within(new, old, hashes.size)
        return hashes.root(old), Proof(new, hashes.root(new), consistency_proof(hashes.node, old, new))

    def verify(self, slots: Sequence[str]) -> Iterator[Report]:
        """The heads, then every journal, held to the witness's heads; to one that is intact, the index and the copy."""
        heads, report = self._witnessed()
        yield report
        for report in verify_record(self.root, heads, self._stored):
            if not slots or report.journal in slots:
                yield self._further(report)

    def _witnessed(self) -> tuple[list[Head], Report]:
        """The witness's heads and what they are worth; without a witness that answers, nothing can be held to them."""
        try:
            heads = list(self.witness.heads())
        except (AuditError, OSError) as error:
            told = f"the witness does not answer, so that the record is held to nothing it keeps: {error}"
            return [], Report("", Verdict.HEADS_WRONG, 0, EMPTY_ROOT, 0, told)
        return heads, verify_heads(heads, self.key)

    def _further(self, report: Report) -> Report:
        """What the index or the copy have otherwise than an intact journal; else the journal's own report."""
        if report.verdict is not Verdict.INTACT:
            return report
        directory = self.root / report.journal
        found = check_index(self.index, directory, self.indexer.opener)
        if found is None and self.shipper is not None:
            found = check_copy(self.shipper.copy, directory)
        return replace(found, size=report.size, root=report.root) if found else report

    def _row(self, identity: str) -> Row:
        row = self.index.get(identity)
        if row is None:
            raise EntryNotFound(identity)
        return row

    def _stored(self, slot: str) -> StoredHash | None:
        states = {state.slot: state.place.position for state in self.index.indexed()}
        if slot not in states:
            return None
        hashes, size = self.indexer.hashes(slot), states[slot]
        return lambda position: hashes.node(0, position) if position < size else None


def _within(size: int, least: int, most: int) -> None:
    if not least <= size <= most:
        raise ProofNotPossible(f"a proof needs a size between {least} and {most}, the entries indexed; not {size}")
