"""What every copy of the journals does: it only grows, and takes nothing that does not continue what it has."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from stockade_audit.daemon.adapters.copy_memory import MemoryCopy
from stockade_audit.daemon.adapters.copy_postgres import PostgresCopy
from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.daemon.domain.copy import CopiedEntry, copied_entry
from stockade_audit.daemon.domain.errors import CopyRefused
from stockade_audit.daemon.domain.ports import Copy
from stockade_audit.entry import encode_leaf, leaf_fields
from stockade_audit.tree import Frontier

from support.journals import entry
from support.postgres import PostgresServer

Make = Callable[[], Copy]


@pytest.fixture(params=["memory", "postgres"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Opens the copy, again if it was opened before."""
    if request.param == "memory":
        kept = MemoryCopy()
        yield lambda: kept
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as url:
        SCHEMA.migrate(url)
        opened: list[PostgresCopy] = []

        def open_copy() -> Copy:
            opened.append(PostgresCopy(url, "node-a"))
            return opened[-1]

        yield open_copy
        for copy in opened:
            copy.close()


def entries(count: int, first: int = 0, **fields: Any) -> list[CopiedEntry]:
    """Consecutive entries of a journal, the same each time."""
    made = []
    for position in range(first, first + count):
        leaf = encode_leaf(
            leaf_fields(entry(position, id=f"id-{position}", time_ns=1_795_510_539_123_456_789, **fields), "test")
        )
        made.append(copied_entry(position, leaf))
    return made


def root(found: list[CopiedEntry]) -> bytes:
    tree = Frontier()
    for one in found:
        tree.append(one.hash)
    return tree.root()


def test_what_is_added_is_there_leaf_for_leaf(make: Make) -> None:
    copy, whole = make(), entries(20)
    assert copy.copied() == []
    copy.add("a-0", whole[:7], root(whole[:7]))
    copy.add("a-0", whole[7:], root(whole))
    copy.add("b-0", whole[:1], root(whole[:1]))
    again = make()
    assert [(c.slot, c.size, c.root) for c in again.copied()] == [("a-0", 20, root(whole)), ("b-0", 1, root(whole[:1]))]
    assert list(again.contents("a-0")) == whole
    assert list(again.contents("nobody")) == []


HOSTILE = ["new\nline", "\x1b[31m", "nul\0", "‮bidi", "__proto__", "a" * 5000, "\\x00", "\\N", "'; DROP TABLE entries"]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_comes_back_as_it_was(make: Make, text: str) -> None:
    copy, whole = (
        make(),
        entries(1, domain=text, reason=text, agent_type=text, metadata={text: 2**63, "n": float("nan")}),
    )
    copy.add("a-0", whole, root(whole))
    assert list(copy.contents("a-0")) == whole


WHOLE = entries(10)
OTHER = entries(10, reason="forged")
REFUSED = [
    ("a gap", WHOLE[6:], root(WHOLE)),
    ("what is there already", WHOLE[:5], root(WHOLE[:5])),
    ("an overlap", WHOLE[4:], root(WHOLE)),
    ("a fork", OTHER[5:], root(OTHER)),
    ("another root than the journal's", WHOLE[5:], root(WHOLE[:9])),
    ("a leaf that has another hash", [replace(WHOLE[5], leaf=OTHER[5].leaf), *WHOLE[6:]], root(WHOLE)),
]


@pytest.mark.parametrize(("name", "more", "new_root"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_what_does_not_continue_is_refused_whole(
    make: Make, name: str, more: list[CopiedEntry], new_root: bytes
) -> None:
    copy = make()
    copy.add("a-0", WHOLE[:5], root(WHOLE[:5]))
    with pytest.raises(CopyRefused) as refusal:
        copy.add("a-0", more, new_root)
    assert refusal.value.slot == "a-0"
    assert [(c.size, c.root) for c in copy.copied()] == [(5, root(WHOLE[:5]))]
    assert list(copy.contents("a-0")) == WHOLE[:5]
    copy.add("a-0", WHOLE[5:], root(WHOLE))
