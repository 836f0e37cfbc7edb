"""What every index does, held against a plain list of the same entries."""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from stockade_audit import Action
from stockade_audit.daemon.adapters.index_sqlite import SqliteIndex
from stockade_audit.daemon.domain.errors import PageTokenInvalid
from stockade_audit.daemon.domain.ports import Index
from stockade_audit.daemon.domain.query import Cursor, Filter, Indexed, Row, StatsQuery, rollups_of
from stockade_audit.entry import encode_leaf, leaf_fields, parse_time
from stockade_audit.reader import Located, Place
from stockade_audit.sealing import Opened

from support.journals import entry

MINUTE = 60_000_000_000
START = 1_795_510_560_000_000_000 // MINUTE * MINUTE
Leaf = tuple[str, int, dict[str, Any]]


@pytest.fixture(params=["sqlite"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Index:
    return SqliteIndex(tmp_path / "index.sqlite")


def some_leaves(count: int = 400) -> list[Leaf]:
    """Entries of two journals over five minutes, some at the same time."""
    random_ = random.Random(1)
    found: list[Leaf] = []
    for n in range(count):
        made = entry(
            n,
            id=f"id-{n}",
            action=random_.choice([Action.ALLOWED, Action.BLOCKED, Action.INTENT]),
            time_ns=START + random_.randrange(20) * 15_000_000_000,
            agent=random_.choice(["ada", "bob", ""]),
            agent_type=random_.choice(["t1", "t2"]),
            domain=random_.choice(["a.example", "b.example", ""]),
            trace_id=random_.choice(["0" * 32, "1" * 32, ""]),
            intent_id="id-1" if n in (5, 6) else "",
            bytes_sent=n,
            duration_us=2 * n,
        )
        slot = ("one-0", "two-0")[n % 2]
        found.append((slot, n // 2, orjson.loads(encode_leaf(leaf_fields(made, "svc")))))
    return found


def opened(leaves: list[Leaf]) -> list[Opened]:
    """As if each agent had one key."""
    numbers = {"ada": 1, "bob": 2}
    return [Opened(b"", leaf, keys={"agent": numbers.get(leaf.get("agent", ""), 0)}) for *_, leaf in leaves]


def fill(index: Index, leaves: list[Leaf], batch: int = 50) -> None:
    for slot in ("one-0", "two-0"):
        mine = [leaf for leaf in leaves if leaf[0] == slot]
        for at in range(0, len(mine), batch):
            part = mine[at : at + batch]
            located = [Located(position, 0, 100 * position, orjson.dumps(leaf)) for _, position, leaf in part]
            end = Place(0, 100 * (part[-1][1] + 1), part[-1][1] + 1)
            index.add(Indexed(slot, end, parse_time(part[-1][2]["time"]), "key"), located, opened(part))


@pytest.fixture
def leaves(index: Index) -> list[Leaf]:
    found = some_leaves()
    fill(index, found)
    return found


def cursors(leaves: list[Leaf], keep: Callable[[Leaf], bool]) -> list[Cursor]:
    return sorted(Cursor(parse_time(leaf["time"]), slot, position) for slot, position, leaf in filter(keep, leaves))


FILTERS: list[tuple[str, Filter, Callable[[dict[str, Any]], bool]]] = [
    ("all", Filter(), lambda _: True),
    ("agent", Filter(agents=("ada",)), lambda leaf: leaf.get("agent") == "ada"),
    ("agents", Filter(agents=("ada", "bob")), lambda leaf: "agent" in leaf),
    ("type", Filter(agent_types=("t2",)), lambda leaf: leaf["agent_type"] == "t2"),
    ("domain", Filter(domains=("b.example",)), lambda leaf: leaf.get("domain") == "b.example"),
    ("action", Filter(actions=("BLOCKED",)), lambda leaf: leaf["action"] == "BLOCKED"),
    ("trace", Filter(trace_id="1" * 32), lambda leaf: leaf.get("trace_id") == "1" * 32),
    ("service", Filter(services=("svc",)), lambda _: True),
    ("nothing", Filter(agents=("nobody",)), lambda _: False),
    (
        "time, the end excluded",
        Filter(start_ns=START + MINUTE, end_ns=START + 2 * MINUTE),
        lambda leaf: START + MINUTE <= parse_time(leaf["time"]) < START + 2 * MINUTE,
    ),
    (
        "several",
        Filter(agents=("bob",), actions=("ALLOWED", "INTENT"), domains=("a.example",)),
        lambda leaf: leaf.get("agent") == "bob" and leaf["action"] != "BLOCKED" and leaf.get("domain") == "a.example",
    ),
]


@pytest.mark.parametrize(("name", "filter_", "keep"), FILTERS, ids=[name for name, *_ in FILTERS])
@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_give_what_is_meant_once_and_in_order(
    index: Index,
    leaves: list[Leaf],
    name: str,
    filter_: Filter,
    keep: Callable[[dict[str, Any]], bool],
    newest_first: bool,
) -> None:
    found: list[Row] = []
    while page := index.find(filter_, limit=37, newest_first=newest_first, after=found[-1].cursor if found else None):
        found += page
    expected = cursors(leaves, lambda leaf: keep(leaf[2]))
    assert [row.cursor for row in found] == (expected[::-1] if newest_first else expected)
    assert all(filter_.matches(parse_time(leaf["time"]), leaf) == keep(leaf) for *_, leaf in leaves)


def test_pages_stay_when_entries_arrive(index: Index, leaves: list[Leaf]) -> None:
    first = index.find(Filter(), limit=100)
    late = entry(id="late", time_ns=START + 10 * MINUTE)
    leaf = orjson.loads(encode_leaf(leaf_fields(late, "svc")))
    index.add(Indexed("one-0", Place(0, 1, 201), START, "key"), [Located(200, 0, 0, b"x")], [Opened(b"", leaf)])
    second = index.find(Filter(), limit=100, after=first[-1].cursor)
    assert [row.cursor for row in first + second] == cursors(leaves, lambda _: True)[::-1][:200]


def test_a_row_says_where_the_leaf_lies(index: Index, leaves: list[Leaf]) -> None:
    row = index.get("id-7")
    assert row is not None
    assert (row.slot, row.position, row.segment, row.offset) == ("two-0", 3, 0, 300)
    assert row.length == len(orjson.dumps(leaves[7][2]))
    assert index.get("nobody") is None
    assert [(r.slot, r.position) for r in index.related("id-1")] in (
        [("two-0", 2), ("one-0", 3)],
        [("one-0", 3), ("two-0", 2)],
    )


def test_a_scan_goes_through_one_journal_by_position(index: Index, leaves: list[Leaf]) -> None:
    assert [row.position for row in index.scan(Filter(), "one-0", 10, 190)] == list(range(10, 190))
    blocked = [p for slot, p, leaf in leaves if slot == "two-0" and leaf["action"] == "BLOCKED"]
    assert [row.position for row in index.scan(Filter(actions=("BLOCKED",)), "two-0", 0, 1000)] == blocked


def test_it_says_how_far_it_has_come(index: Index, leaves: list[Leaf]) -> None:
    states = index.indexed()
    assert [(s.slot, s.place.position, s.key) for s in states] == [("one-0", 200, "key"), ("two-0", 200, "key")]


def test_forgetting_a_journal_and_reading_it_again_changes_nothing(index: Index, leaves: list[Leaf]) -> None:
    before = (index.find(Filter(), limit=1000), index.stats(StatsQuery(group_by=("agent", "domain"))))
    index.forget("one-0")
    assert [state.slot for state in index.indexed()] == ["two-0"]
    assert index.stats(StatsQuery()).total == 200
    mine = [leaf for leaf in leaves if leaf[0] == "one-0"]
    for slot, position, leaf in mine:
        located = Located(position, 0, 100 * position, orjson.dumps(leaf))
        state = Indexed(slot, Place(0, 0, position + 1), parse_time(leaf["time"]), "key")
        index.add(state, [located], opened([(slot, position, leaf)]))
    assert before == (index.find(Filter(), limit=1000), index.stats(StatsQuery(group_by=("agent", "domain"))))


@pytest.mark.parametrize(
    "dimensions", [("action",), ("agent",), ("domain", "agent_type"), ("minute",), ("service", "action", "minute")]
)
def test_stats_count_what_there_is(index: Index, leaves: list[Leaf], dimensions: tuple[str, ...]) -> None:
    def key(leaf: dict[str, Any]) -> tuple[Any, ...]:
        values = {**leaf, "minute": parse_time(leaf["time"]) // MINUTE}
        return tuple(values.get(name, "") for name in dimensions)

    expected = Counter(key(leaf) for *_, leaf in leaves)
    sent: Counter[Any] = Counter()
    for *_, leaf in leaves:
        sent[key(leaf)] += leaf.get("bytes_sent", 0)
    stats = index.stats(StatsQuery(group_by=dimensions, limit=1000))
    assert {tuple(row.values[name] for name in dimensions): row.count for row in stats.rows} == expected
    assert {tuple(row.values[name] for name in dimensions): row.bytes_sent for row in stats.rows} == sent
    assert [row.count for row in stats.rows] == sorted((row.count for row in stats.rows), reverse=True)
    assert (stats.total, stats.truncated) == (len(leaves), False)


def test_stats_are_filtered_and_bounded(index: Index, leaves: list[Leaf]) -> None:
    query = StatsQuery(
        start_ns=START + MINUTE,
        end_ns=START + 3 * MINUTE,
        actions=("BLOCKED",),
        agents=("ada",),
        group_by=("minute",),
        limit=1,
    )
    expected = [
        leaf
        for *_, leaf in leaves
        if leaf["action"] == "BLOCKED"
        and leaf.get("agent") == "ada"
        and START + MINUTE <= parse_time(leaf["time"]) < START + 3 * MINUTE
    ]
    stats = index.stats(query)
    assert (stats.total, len(stats.rows), stats.truncated) == (len(expected), 1, True)


def test_page_tokens_belong_to_their_question() -> None:
    cursor = Cursor(17, "one-0", 3)
    token = cursor.token(Filter(agents=("ada",)).digest)
    assert Cursor.parse(token, Filter(agents=("ada",)).digest) == cursor
    for bad, digest in [(token, Filter().digest), ("!", ""), ("e30", ""), ("", ""), (token[:-3], Filter().digest)]:
        with pytest.raises(PageTokenInvalid):
            Cursor.parse(bad, digest)


def test_forgotten_keys_take_along_what_they_had_opened_and_nothing_else(index: Index, leaves: list[Leaf]) -> None:
    ada = [leaf for leaf in leaves if leaf[2].get("agent") == "ada"]
    before = index.stats(StatsQuery(group_by=("domain", "minute", "action")))
    assert index.forget_keys({1, 4711}) == len(ada)
    assert index.forget_keys({1, 4711}) == 0
    assert not index.find(Filter(agents=("ada",)), limit=1000)
    assert len(index.find(Filter(), limit=1000)) == len(leaves)
    assert {row.values["agent"] for row in index.stats(StatsQuery(group_by=("agent",))).rows} == {"", "bob"}
    assert index.stats(StatsQuery(group_by=("domain", "minute", "action"))) == before
    for slot in ("one-0", "two-0"):
        kept = [
            (p, Opened(b"", leaf, keys={"agent": 2 * ("agent" in leaf)})) for s, p, leaf in without(leaves) if s == slot
        ]
        size, rollups = index.snapshot(slot)
        assert size == len(kept)
        assert rollups == rollups_of([entry for _, entry in kept], [parse_time(e.fields["time"]) for _, e in kept])


def without(leaves: list[Leaf]) -> list[Leaf]:
    """The same without what is told of ada."""
    return [
        (slot, position, {name: value for name, value in leaf.items() if (name, value) != ("agent", "ada")})
        for slot, position, leaf in leaves
    ]


def test_what_was_forgotten_is_in_no_file(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path / "index.sqlite")
    fill(index, some_leaves())
    index.forget_keys({1})
    assert b"ada" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    index.close()


def test_tables_of_another_version_are_made_again(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "index.sqlite") as old:
        old.execute("CREATE TABLE entries (slot TEXT, position INTEGER)")
        old.execute("CREATE TABLE journals (slot TEXT)")
        old.execute("INSERT INTO journals VALUES ('one-0')")
    old.close()
    index = SqliteIndex(tmp_path / "index.sqlite")
    assert index.indexed() == []
    fill(index, some_leaves())
    assert len(index.find(Filter(), limit=1000)) == 400
    index.close()
