"""Shelves: bounded collections that know which entry to give up next.

SIEVE (Zhang et al., NSDI 2024) keeps entries in the order they came and a hand that walks from the oldest to the
newest: it spares, once, what was used since it last passed, and evicts what was not. A hit only sets a flag, and a
scan passes through without pushing out what is in use. LRU is there for comparison and by choice.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from stockade_embedding_cache.domain.entry import Entry


class Shelf(Protocol):
    """Entries by key, with an order of eviction."""

    def get(self, key: bytes) -> Entry | None:
        """The entry, which counts as a use; None if there is none."""
        ...

    def peek(self, key: bytes) -> Entry | None:
        """The entry, without counting as a use."""
        ...

    def put(self, key: bytes, entry: Entry) -> Entry | None:
        """Store or replace; returns what was there before."""
        ...

    def pop(self, key: bytes) -> Entry | None:
        """Remove; returns what was there."""
        ...

    def evict(self) -> Entry:
        """Remove the least useful entry. Raises KeyError on an empty shelf."""
        ...

    def __iter__(self) -> Iterator[bytes]: ...

    def __len__(self) -> int: ...


class _Node:
    __slots__ = ("entry", "key", "newer", "older", "used")

    def __init__(self, key: bytes, entry: Entry, older: "_Node | None") -> None:
        self.key, self.entry, self.used = key, entry, False
        self.older, self.newer = older, None  # type: tuple[_Node | None, _Node | None]


class Sieve:
    """The shelf that SIEVE sorts."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, _Node] = {}
        self._oldest: _Node | None = None
        self._newest: _Node | None = None
        self._hand: _Node | None = None

    def get(self, key: bytes) -> Entry | None:
        node = self._nodes.get(key)
        if node is None:
            return None
        node.used = True
        return node.entry

    def peek(self, key: bytes) -> Entry | None:
        node = self._nodes.get(key)
        return None if node is None else node.entry

    def put(self, key: bytes, entry: Entry) -> Entry | None:
        node = self._nodes.get(key)
        if node is not None:
            before, node.entry, node.used = node.entry, entry, True
            return before
        self._nodes[key] = node = _Node(key, entry, self._newest)
        if self._newest is None:
            self._oldest = node
        else:
            self._newest.newer = node
        self._newest = node
        return None

    def pop(self, key: bytes) -> Entry | None:
        node = self._nodes.pop(key, None)
        if node is None:
            return None
        self._unlink(node)
        return node.entry

    def evict(self) -> Entry:
        node = self._hand or self._oldest
        while node is not None and node.used:
            node.used = False
            node = node.newer or self._oldest
        if node is None:
            raise KeyError("nothing to evict")
        self._hand = node
        del self._nodes[node.key]
        self._unlink(node)
        return node.entry

    def _unlink(self, node: _Node) -> None:
        if self._hand is node:
            self._hand = node.newer
        if node.older is None:
            self._oldest = node.newer
        else:
            node.older.newer = node.newer
        if node.newer is None:
            self._newest = node.older
        else:
            node.newer.older = node.older

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


class Lru:
    """The shelf that gives up what was used longest ago."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def get(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def peek(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def put(self, key: bytes, entry: Entry) -> Entry | None:
        before = self._entries.get(key)
        self._entries[key] = entry
        self._entries.move_to_end(key)
        return before

    def pop(self, key: bytes) -> Entry | None:
        return self._entries.pop(key, None)

    def evict(self) -> Entry:
        return self._entries.popitem(last=False)[1]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
