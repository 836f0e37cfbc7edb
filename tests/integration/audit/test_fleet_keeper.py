"""The signer of the fleet's head, over nodes that write to a real PostgreSQL as daemons do."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import pytest
from stockade_audit.daemon.adapters.copy_postgres import PostgresCopy
from stockade_audit.daemon.adapters.fleet_postgres import PostgresFleet
from stockade_audit.daemon.adapters.ledger_sqlite import SqliteLedger
from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.daemon.adapters.witness_postgres import PostgresWitness
from stockade_audit.daemon.domain.copy import CopiedEntry, copied_entry
from stockade_audit.daemon.domain.errors import CopyUnavailable, FleetDiffers, NodeNotFound
from stockade_audit.daemon.fleet_check import NodeReport, verify_fleet
from stockade_audit.daemon.fleet_keeper import FleetKeeper
from stockade_audit.entry import encode_leaf, leaf_fields
from stockade_audit.errors import AuditError
from stockade_audit.fleet import ORIGIN, FleetHead, Member, root_of
from stockade_audit.head import NO_HEAD, Head, JournalHead, origin_of
from stockade_audit.keys import SigningKey
from stockade_audit.tree import Frontier, consistency_proof, node_hash
from stockade_audit.verification import Verdict

from support.journals import entry

SLOT = "sandbox-0"


@dataclass
class Node:
    """A node with one journal, which writes, copies and has its heads witnessed when it is told to."""

    copy: PostgresCopy
    witness: PostgresWitness
    key: SigningKey
    entries: list[CopiedEntry] = field(default_factory=list)
    head: Head | None = None

    def write(self, count: int) -> None:
        for _ in range(count):
            number = len(self.entries)
            leaf = encode_leaf(leaf_fields(entry(number), "test"))
            self.entries.append(copied_entry(number, leaf))

    def ship(self) -> None:
        have = sum(found.size for found in self.copy.copied())
        if self.entries[have:]:
            self.copy.add(SLOT, self.entries[have:], self.root())

    def sign(self, time_ns: int | None = None) -> Head:
        mark = JournalHead(len(self.entries), self.root(), "k")
        sequence, previous = (self.head.sequence + 1, self.head.hash) if self.head else (1, NO_HEAD)
        last = self.head.journals[SLOT].size if self.head else 0
        self.head = Head(sequence, time_ns or time.time_ns(), previous, {SLOT: mark}).signed(self.key)
        self.witness.add(self.head, {SLOT: consistency_proof(self._node, last, mark.size)})
        return self.head

    def all(self, count: int) -> None:
        """Write, copy and sign."""
        self.write(count)
        self.ship()
        self.sign()

    def root(self) -> bytes:
        tree = Frontier()
        for found in self.entries:
            tree.append(found.hash)
        return tree.root()

    def _node(self, level: int, n: int) -> bytes:
        if not level:
            return self.entries[n].hash
        return node_hash(self._node(level - 1, 2 * n), self._node(level - 1, 2 * n + 1))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def node(url: str, stack: ExitStack, tmp_path: Path) -> Callable[[str], Node]:
    def make(name: str) -> Node:
        key = SigningKey.load_or_create(tmp_path / f"{name}.key", origin_of(name))
        copy = stack.enter_context(closing(PostgresCopy(url, name)))
        return Node(copy, stack.enter_context(closing(PostgresWitness(url, key.verifier))), key)

    return make


@pytest.fixture
def keeper(url: str, stack: ExitStack, tmp_path: Path) -> FleetKeeper:
    key = SigningKey.load_or_create(tmp_path / "fleet.key", ORIGIN)
    return stack.enter_context(closing(FleetKeeper(PostgresFleet(url), SqliteLedger(tmp_path / "fleet.sqlite"), key)))


def members(keeper: FleetKeeper) -> dict[str, int]:
    found = keeper.ledger.members().values()
    return {member.origin.rpartition("/")[2]: member.sequence for member in found}


def wrong(keeper: FleetKeeper) -> list[NodeReport]:
    return [found for found in verify_fleet(keeper) if found.report.verdict is not Verdict.INTACT]


def test_heads_are_counted_once_what_they_cover_is_copied(keeper: FleetKeeper, node: Callable[[str], Node]) -> None:
    a, b = node("a"), node("b")
    a.all(5)
    keeper.sign()
    assert keeper.joined == ["a"]
    b.all(3)
    a.write(4)
    a.sign()
    keeper.sign()
    assert keeper.joined == ["a", "b"]
    assert members(keeper) == {"a": 1, "b": 1}, "a's second head covers what is not there yet"
    a.ship()
    keeper.sign()
    assert members(keeper) == {"a": 2, "b": 1}
    last = keeper.ledger.last()
    assert last is not None
    assert FleetHead.open(last.note, keeper.key.verifier) == last
    assert (last.sequence, last.nodes, last.root) == (3, 2, root_of(keeper.ledger.members().values()))
    keeper.sign()
    assert keeper.ledger.last() == last, "nothing to say, no new head"
    assert wrong(keeper) == []


def test_a_node_that_falls_silent_is_told_until_it_is_retired(
    keeper: FleetKeeper, node: Callable[[str], Node], url: str
) -> None:
    a = node("a")
    a.write(2)
    a.ship()
    a.sign(time.time_ns() - 600_000_000_000)
    keeper.sign()
    keeper.sign()
    assert "stockade audit retire a" in keeper.wrong["a"]
    assert [found.node for found in wrong(keeper)] == ["a"]
    with pytest.raises(NodeNotFound):
        keeper.retire("b")
    assert keeper.retire("a").retired
    keeper.sign()
    assert (keeper.wrong, wrong(keeper)) == ({}, [])
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM stockade_audit.entries WHERE position = 1")
    assert [found.report.verdict for found in wrong(keeper)] == [Verdict.TAIL_CUT], "a retired one is still verified"


def test_a_retired_node_signs_no_more(keeper: FleetKeeper, node: Callable[[str], Node]) -> None:
    a = node("a")
    a.all(2)
    keeper.sign()
    keeper.retire("a")
    a.all(2)
    keeper.sign()
    assert "retired" in keeper.wrong["a"]
    assert members(keeper) == {"a": 1}
    assert [found.node for found in wrong(keeper)] == ["a"]


def test_a_node_whose_heads_do_not_continue_stays_where_it_was(
    keeper: FleetKeeper, node: Callable[[str], Node], url: str
) -> None:
    a, b = node("a"), node("b")
    a.all(2)
    b.all(2)
    keeper.sign()
    assert a.head is not None
    forked = replace(a.head, sequence=2, previous=bytes(32)).signed(a.key)
    with psycopg.connect(url) as connection:  # as a node that has its witness's role could
        connection.execute(
            "INSERT INTO stockade_audit.heads (origin, sequence, note) VALUES (%s, 2, %s)", (forked.origin, forked.note)
        )
    b.all(1)
    keeper.sign()
    assert members(keeper) == {"a": 1, "b": 2}
    assert list(keeper.wrong) == ["a"]


def test_a_crash_after_publishing_is_made_up_for(keeper: FleetKeeper, node: Callable[[str], Node]) -> None:
    a = node("a")
    a.all(2)
    keeper.sign()
    a.all(2)
    ledger = keeper.ledger
    keeper.ledger = _Crashing(ledger)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        keeper.sign()
    keeper.ledger = ledger
    keeper.sign()
    assert members(keeper) == {"a": 2}
    assert wrong(keeper) == []


class _Crashing:
    """Ends the process where the ledger would be written."""

    def __init__(self, ledger: object) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> object:
        if name == "add":
            raise KeyboardInterrupt
        return getattr(self._ledger, name)


def test_a_database_of_another_history_is_not_continued(
    keeper: FleetKeeper, node: Callable[[str], Node], url: str
) -> None:
    a = node("a")
    a.all(2)
    keeper.sign()
    a.all(2)
    keeper.sign()
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM stockade_audit.fleet_heads WHERE sequence = 2")
    a.all(2)
    with pytest.raises(FleetDiffers, match="last head of the fleet is 1, and the last one signed here is 2"):
        keeper.sign()
    assert "an old one was put back" in wrong(keeper)[0].report.detail


def test_a_lost_ledger_is_made_anew_with_the_same_key_alone(
    keeper: FleetKeeper, node: Callable[[str], Node], stack: ExitStack, tmp_path: Path
) -> None:
    a = node("a")
    a.all(2)
    keeper.sign()
    again = replace(keeper, ledger=stack.enter_context(closing(SqliteLedger(tmp_path / "again.sqlite"))))
    again.sign()
    assert (members(again), wrong(again)) == ({"a": 1}, [])
    other = SigningKey.create(tmp_path / "other.key", ORIGIN)
    stranger = replace(keeper, key=other, ledger=stack.enter_context(closing(SqliteLedger(tmp_path / "other.sqlite"))))
    with pytest.raises(FleetDiffers):
        stranger.sign()


def test_tables_from_before_there_was_a_fleet_are_taken_on_and_back_with_what_they_hold(
    keeper: FleetKeeper, node: Callable[[str], Node], url: str
) -> None:
    a = node("a")
    a.all(3)
    SCHEMA.migrate(url, 2)
    with pytest.raises(CopyUnavailable, match="stockade-auditd migrate"):
        keeper.sign()
    SCHEMA.migrate(url)
    keeper.sign()
    assert (members(keeper), wrong(keeper)) == ({"a": 1}, [])


BAD_LEAVES = [b"", b"a b c", b"o 1 zz active k", b"o x " + b"00" * 32 + b" active k", b"o 1 " + b"00" * 32 + b" gone k"]


@pytest.mark.parametrize("leaf", BAD_LEAVES)
def test_what_is_no_member_is_refused(leaf: bytes) -> None:
    with pytest.raises(AuditError, match="not a member"):
        Member.parse(leaf)


def test_a_member_and_its_leaf_say_the_same() -> None:
    member = Member(origin_of("a"), 7, bytes(range(32)), "a+00000000+key", retired=True)
    assert Member.parse(member.leaf) == member
