"""Entries read from the journals: the index says where, the stored hash says whether it is the one that was indexed."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from stockade_audit.daemon.domain.errors import RecordDamaged
from stockade_audit.daemon.domain.query import Row
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.sealing import Opened
from stockade_audit.segment import segment_path
from stockade_audit.tree import leaf_hash


def read_leaves(root: Path, indexer: Indexer, rows: Iterable[Row]) -> Iterator[tuple[Row, Opened]]:
    """Each row with its leaf, opened; RecordDamaged for one that is not what was indexed. Blocking."""
    opened: dict[tuple[str, int], int] = {}
    try:
        for row in rows:
            fd = opened.get((row.slot, row.segment))
            if fd is None:
                if len(opened) >= 64:
                    os.close(opened.pop(next(iter(opened))))
                fd = opened[row.slot, row.segment] = _open(root, row)
            leaf = os.pread(fd, row.length, row.offset)
            if leaf_hash(leaf) != indexer.hashes(row.slot).node(0, row.position):
                raise RecordDamaged(row.slot, row.position)
            yield row, indexer.opener.open(leaf)
    finally:
        for fd in opened.values():
            os.close(fd)


def _open(root: Path, row: Row) -> int:
    try:
        return os.open(segment_path(root / row.slot, row.segment), os.O_RDONLY)
    except OSError as error:
        raise RecordDamaged(row.slot, row.position) from error
