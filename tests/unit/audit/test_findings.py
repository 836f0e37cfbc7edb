"""What the rules say of a stream of entries."""

from collections.abc import Iterable
from typing import Any

import pytest
from stockade_audit.daemon.domain.finding import PROBES, QUIET_NS, SPIKE, SUBJECTS, WINDOW_NS, Rules, finding_of

START = 1_795_510_539_000_000_000
SECOND = 1_000_000_000


def blocked(number: int, time_ns: int, agent: str = "a-1", **fields: Any) -> tuple[int, dict[str, Any]]:
    return time_ns, {"id": f"id-{number}", "action": "BLOCKED", "agent": agent, **fields}


def watched(entries: Iterable[tuple[int, dict[str, Any]]]) -> list[tuple[str, str]]:
    rules = Rules()
    return [(found.kind, found.subject) for time_ns, leaf in entries for found in rules.watch("one-0", time_ns, leaf)]


def burst(count: int, start: int = START, spread_ns: int = WINDOW_NS // 2, **fields: Any) -> list[Any]:
    return [blocked(n, start + n * spread_ns // count, **fields) for n in range(count)]


def lost(detail: str) -> tuple[int, dict[str, Any]]:
    return START, {"id": "i", "action": "SANDBOX_LOST", "agent": "a-1", "metadata": {"detail": detail}}


CASES: list[tuple[str, list[Any], list[tuple[str, str]]]] = [
    ("one refusal short of a spike", burst(SPIKE - 1), []),
    ("a spike", burst(SPIKE), [("BLOCK_SPIKE", "a-1")]),
    ("as many over two minutes", burst(SPIKE, spread_ns=2 * WINDOW_NS), []),
    ("a long spike is said once", burst(SPIKE * 5), [("BLOCK_SPIKE", "a-1")]),
    (
        "and again after a while",
        burst(SPIKE) + burst(SPIKE, START + QUIET_NS + WINDOW_NS),
        [("BLOCK_SPIKE", "a-1")] * 2,
    ),
    ("two agents share no count", burst(SPIKE - 1) + burst(SPIKE - 1, agent="a-2"), []),
    ("refusals of nobody", burst(SPIKE * 2, agent=""), []),
    ("probing for addresses", burst(PROBES, rule="special_address"), [("SANDBOX_ESCAPE", "a-1")]),
    ("one mistaken address", burst(PROBES - 1, rule="special_address"), []),
    (
        "calling what agents may not",
        [
            (START + n, {"id": f"i-{n}", "action": "FOLDED", "agent": "a-1", "reason": "CALLER_NOT_ALLOWED"})
            for n in range(PROBES)
        ],
        [("SANDBOX_ESCAPE", "a-1")],
    ),
    (
        "an operator who may not",
        [(START + n, {"id": f"i-{n}", "action": "FOLDED", "reason": "CALLER_NOT_ALLOWED"}) for n in range(PROBES)],
        [],
    ),
    (
        "a supervisor that is not itself",
        [lost("its supervisor broke the protocol: a frame of kind 9")],
        [("SANDBOX_ESCAPE", "a-1")],
    ),
    ("a sandbox that was killed", [lost("it was killed")], []),
    (
        "a clock set",
        [(START, {"id": "i", "action": "CLOCK_CHANGED", "metadata": {"change_ms": -5}})],
        [("CLOCK_CHANGED", "one-0")],
    ),
    ("a gap", [(START, {"id": "i", "action": "GAP", "metadata": {"refused": 3}})], [("RECORD_GAP", "one-0")]),
    ("an alert raises no alert", [(START, {"id": "i", "action": "ALERT", "reason": "BLOCK_SPIKE"})], []),
    ("claims raise none", [(START + n, {"id": "i", "action": "CLAIM", "agent": "a-1"}) for n in range(1000)], []),
]


@pytest.mark.parametrize(("name", "entries", "expected"), CASES, ids=[name for name, *_ in CASES])
def test_rules(name: str, entries: list[Any], expected: list[tuple[str, str]]) -> None:
    assert watched(entries) == expected


def test_a_finding_names_the_entries_that_show_it() -> None:
    rules = Rules()
    (found,) = [f for time_ns, leaf in burst(SPIKE) for f in rules.watch("one-0", time_ns, leaf)]
    assert found.entry_ids == tuple(f"id-{n}" for n in range(SPIKE - 10, SPIKE))
    assert found.summary == f"refused {SPIKE} times within a minute"


def test_a_flood_of_names_stays_within_bounds() -> None:
    rules = Rules()
    for n in range(5 * SUBJECTS):
        list(rules.watch("one-0", START + n, blocked(n, START, agent=f"a-{n}")[1]))
    assert len(rules._seen) <= SUBJECTS


ALERT = {"id": "f-1", "action": "ALERT", "reason": "BLOCK_SPIKE", "resource": "a-1", "metadata": {"detail": "d"}}
ACKNOWLEDGED = {"action": "ACKNOWLEDGED", "metadata": {"note": "looking"}}
DISPOSED = {"action": "DISPOSED", "reason": "RESOLVED", "metadata": {"note": "fixed"}}


@pytest.mark.parametrize(
    ("related", "state"),
    [
        ([], ("OPEN", "", "")),
        ([ACKNOWLEDGED], ("ACKNOWLEDGED", "", "looking")),
        ([ACKNOWLEDGED, DISPOSED], ("DISPOSED", "RESOLVED", "fixed")),
        ([{"action": "CLAIM", "metadata": {"note": "not mine"}}], ("OPEN", "", "")),
    ],
)
def test_its_state_is_what_the_record_says_of_it(related: list[dict[str, Any]], state: tuple[str, str, str]) -> None:
    found = finding_of(ALERT, START, related)
    assert (found.state, found.disposition, found.note) == state
    assert (found.id, found.kind, found.subject, found.summary) == ("f-1", "BLOCK_SPIKE", "a-1", "d")
