"""A copy in memory: what a copy does, in the fewest words. For tests."""

from collections.abc import Iterator, Sequence

from stockade_audit.daemon.domain.copy import Copied, CopiedEntry, grow
from stockade_audit.daemon.domain.errors import CopyRefused
from stockade_audit.tree import Frontier, leaf_hash


class MemoryCopy:
    """Not shared between threads."""

    def __init__(self) -> None:
        self._entries: dict[str, list[CopiedEntry]] = {}
        self._trees: dict[str, Frontier] = {}

    def copied(self) -> list[Copied]:
        return [Copied(slot, tree.size, tree.root()) for slot, tree in sorted(self._trees.items())]

    def add(self, slot: str, entries: Sequence[CopiedEntry], root: bytes) -> None:
        tree = self._trees.get(slot, Frontier()).copy()
        if any(leaf_hash(entry.leaf) != entry.hash for entry in entries):
            raise CopyRefused(slot, "a leaf does not have its hash")
        grow(tree, slot, entries, root)
        self._trees[slot] = tree
        self._entries.setdefault(slot, []).extend(entries)

    def contents(self, slot: str) -> Iterator[CopiedEntry]:
        yield from self._entries.get(slot, ())

    def close(self) -> None:
        pass
