"""Host uids for sandboxes: one each, so that what the kernel limits per uid is limited per sandbox."""

from collections import Counter
from collections.abc import Iterable

from stockade_sandbox.domain.errors import NodeFull


class Uids:
    """Gives uids of a high range, in turn, so that one that was given back rests the longest."""

    def __init__(self, first: int, count: int, taken: Iterable[int], node: str) -> None:
        """`taken`: uids in use already. The range is `first` up to `first + count`."""
        self._first, self._count, self._node = first, count, node
        self._taken = Counter(taken)
        self._next = max(self._taken, default=first - 1) + 1 - first

    def take(self) -> int:
        """One that no living sandbox has. Raises NodeFull."""
        for step in range(self._count):
            uid = self._first + (self._next + step) % self._count
            if uid not in self._taken:
                self._taken[uid] = 1
                self._next = uid + 1 - self._first
                return uid
        raise NodeFull(self._node, "uids", f"all its {self._count} uids are in use; delete sandboxes")

    def share(self, uid: int) -> int:
        """One that others may have too: live memory that is copied goes on as whom it was. Nothing runs as it here."""
        self._taken[uid] += 1
        return uid

    def give_back(self, uid: int) -> None:
        """One who had it has it no longer."""
        self._taken[uid] -= 1
        self._taken += Counter()  # without those that nobody has
