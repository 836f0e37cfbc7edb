"""The Merkle tree of RFC 6962 §2.1: growing it, its roots, and proofs of inclusion and consistency.

Subtrees are named as in Go's tlog: node (level, n) covers the leaves n·2^level … (n+1)·2^level - 1 and is complete.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()

# Reads the hash of the complete node (level, n).
NodeReader = Callable[[int, int], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 ‖ leaf)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the hashes of its maximal complete subtrees, largest first."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: list[bytes] | None = None) -> None:
        self.size = size
        self.hashes = [] if hashes is None else hashes
        if len(self.hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} edge hashes, not {len(self.hashes)}")

    def copy(self) -> "Frontier":
        """An independent copy, to come back to."""
        return Frontier(self.size, self.hashes.copy())

    def append(self, hash_of_leaf: bytes) -> None:
        """Add one leaf."""
        self.extend((hash_of_leaf,))

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves."""
        hashes, size = self.hashes, self.size
        for current in leaf_hashes:
            bits = size
            while bits & 1:
                current = sha256(b"\x01" + hashes.pop() + current).digest()
                bits >>= 1
            hashes.append(current)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """The tree's root; of no leaves, SHA-256 of nothing."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def complete_nodes(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The fewest complete nodes (level, n) that cover leaves start … end-1, from left to right."""
    while start < end:
        level = min((start & -start).bit_length() - 1 if start else 64, (end - start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def range_hash(read: NodeReader, start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962, for a range that is a subtree of some tree (start a multiple of its span)."""
    if start == end:
        return EMPTY_ROOT
    hashes = [read(level, n) for level, n in complete_nodes(start, end)]
    root = hashes.pop()
    while hashes:
        root = node_hash(hashes.pop(), root)
    return root


def inclusion_proof(read: NodeReader, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1, deepest sibling first."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(range_hash(read, middle, end))
            end = middle
        else:
            proof.append(range_hash(read, start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(read: NodeReader, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 §2.1.2; empty when old is 0 or new."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves cannot continue one of {old}")
    if old in (0, new):
        return []
    proof: list[bytes] = []
    start, end, whole = 0, new, True  # whole: the old root is the caller's to know
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(range_hash(read, middle, end))
            end = middle
        else:
            proof.append(range_hash(read, start, middle))
            start, whole = middle, False
    if not whole:
        proof.append(range_hash(read, start, end))
    return proof[::-1]


def _split(span: int) -> int:
    """The largest power of two smaller than the span."""
    return 1 << (span - 1).bit_length() - 1


def root_from_inclusion(index: int, size: int, hash_of_leaf: bytes, proof: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162 §2.1.3.2); ValueError when the proof has a wrong length."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    fn, sn, root = index, size - 1, hash_of_leaf
    for sibling in proof:
        if sn == 0:
            raise ValueError("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            root = node_hash(sibling, root)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = node_hash(root, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ValueError("the inclusion proof is too short")
    return root


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """Whether the proof shows that the new tree begins with the old one (RFC 9162 §2.1.4.2)."""
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == new:
        return not proof and old_root == new_root
    if not 0 < old < new or not proof:
        return False
    path = [old_root, *proof] if old & old - 1 == 0 else proof
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root
