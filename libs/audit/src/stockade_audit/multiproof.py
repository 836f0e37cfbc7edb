"""One proof for many leaves of a tree: the hashes that, with the leaves, give the root.

The tree is walked from the left. A complete subtree without any of the leaves costs one hash; one with some is walked
into; what the leaves themselves give costs nothing. `verify.tree_root` walks alike, so hashes need no names.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from stockade_audit.tree import NodeReader, complete_nodes


def prove(read: NodeReader, size: int, positions: Sequence[int]) -> Iterator[bytes]:
    """The hashes of the nodes beside the leaves at `positions` (ascending), in the order of the walk."""
    for level, n in complete_nodes(0, size):
        yield from _beside(read, level, n, positions)


def _beside(read: NodeReader, level: int, n: int, positions: Sequence[int]) -> Iterator[bytes]:
    first, end = n << level, (n + 1) << level
    inside = bisect_left(positions, end) - bisect_left(positions, first)
    if inside == end - first:
        return
    if inside == 0:
        yield read(level, n)
        return
    yield from _beside(read, level - 1, 2 * n, positions)
    yield from _beside(read, level - 1, 2 * n + 1, positions)
