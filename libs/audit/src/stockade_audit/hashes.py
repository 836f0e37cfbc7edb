"""Every hash of a growing tree in one file, so that proofs and roots of any size are a few small reads.

The order is that of Go's tlog (golang.org/x/mod/sumdb/tlog, StoredHashIndex): each leaf's hash is followed by those
of the complete nodes it finishes. The file is made from the journal and can be made again.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stockade_audit.tree import complete_nodes, node_hash, range_hash

HASH_BYTES: Final = 32


def stored_index(level: int, n: int) -> int:
    """Where the hash of node (level, n) is stored: after all hashes finished by its last leaf's predecessors."""
    leaf = ((n + 1) << level) - 1
    return stored_count(leaf) + level


def stored_count(size: int) -> int:
    """How many hashes a tree of `size` leaves has stored."""
    return 2 * size - size.bit_count()


class HashFile:
    """The stored hashes of one journal. One writer; `size` is in leaves."""

    def __init__(self, path: Path, size: int) -> None:
        """Open (or begin) the file and cut it to `size` leaves. ValueError when it holds fewer."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        wanted = stored_count(size) * HASH_BYTES
        if os.fstat(self._fd).st_size < wanted:
            os.close(self._fd)
            raise ValueError(f"{path} holds less than {size} leaves")
        os.ftruncate(self._fd, wanted)
        self.size = size

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def node(self, level: int, n: int) -> bytes:
        """The hash of a complete node."""
        return os.pread(self._fd, HASH_BYTES, stored_index(level, n) * HASH_BYTES)

    def append(self, leaf_hashes: Sequence[bytes]) -> None:
        """Add leaves."""
        edge = [self.node(level, n) for level, n in complete_nodes(0, self.size)]
        size, stored = self.size, []
        for current in leaf_hashes:
            stored.append(current)
            bits = size
            while bits & 1:
                current = node_hash(edge.pop(), current)
                stored.append(current)
                bits >>= 1
            edge.append(current)
            size += 1
        data = b"".join(stored)
        if os.pwrite(self._fd, data, stored_count(self.size) * HASH_BYTES) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size = size

    def cut(self, size: int) -> None:
        """Take back all leaves behind the first `size`."""
        os.ftruncate(self._fd, stored_count(size) * HASH_BYTES)
        self.size = size

    def root(self, size: int) -> bytes:
        """The root of the first `size` leaves."""
        return range_hash(self.node, 0, size)
