"""Whether the copy beyond this machine says what the journals say."""

from collections.abc import Iterator
from pathlib import Path

from stockade_audit.daemon.domain.copy import CopiedEntry, copied_entry
from stockade_audit.daemon.domain.errors import CopyUnavailable
from stockade_audit.daemon.domain.ports import Copy
from stockade_audit.reader import Follower
from stockade_audit.tree import EMPTY_ROOT, Frontier
from stockade_audit.verification import Report, Verdict


def check_copy(copy: Copy, directory: Path) -> Report | None:
    """The first entry of one journal that the copy has otherwise; None when all that it has fits.

    A copy that cannot be reached is no damage: then the report is INTACT, and its detail says what was not compared.
    """
    slot = directory.name
    try:
        size, root = next(((c.size, c.root) for c in copy.copied() if c.slot == slot), (0, EMPTY_ROOT))
        tree = Frontier()
        journal = _entries(directory)
        for found in copy.contents(slot):
            if (wanted := next(journal, None)) is None:
                return _wrong(slot, found.position, "it has an entry that the journal has not")
            if found != wanted:
                return _wrong(slot, wanted.position, "it has this entry otherwise")
            tree.append(found.hash)
            if tree.size == size and tree.root() != root:
                return _wrong(slot, size, "the tree that it goes on from is another one")
        if tree.size < size:
            return _wrong(slot, tree.size, f"{size - tree.size} entries are missing from it")
    except CopyUnavailable as error:
        return Report(slot, Verdict.INTACT, 0, EMPTY_ROOT, 0, f"the copy was not compared: {error}")
    return None


def _entries(directory: Path) -> Iterator[CopiedEntry]:
    follower = Follower(directory)
    try:
        while located := follower.poll():
            for at in located:
                yield copied_entry(at.position, at.leaf)
    finally:
        follower.close()


def _wrong(slot: str, position: int, detail: str) -> Report:
    return Report(slot, Verdict.COPY_WRONG, 0, EMPTY_ROOT, position, f"the copy in PostgreSQL: {detail}")
