"""The acceptance run's figures: a promise that was not kept is never shown as kept."""

from typing import Any

import pytest
from stockade_audit.entry import format_time

from load import acceptance_figures as figures
from load.acceptance_figures import Promise, Rate, ideally_allowed

RATE = Rate(per_minute=60, burst=3)
SECOND = 1_000_000_000


def entry(action: str = "ALLOWED", **fields: Any) -> dict[str, Any]:
    return {"action": action, "agent": "a", "time": format_time(SECOND), **fields}


@pytest.mark.parametrize(
    ("seconds", "passed"),
    [([], 0), ([0] * 5, 3), ([0, 0, 0, 1, 2, 3], 6), ([0, 0, 0, 0.5, 0.6], 3), ([0, 0, 0, 100, 100, 100, 100], 6)],
)
def test_an_ideal_bucket_begins_full_and_holds_no_more_than_its_burst(seconds: list[float], passed: int) -> None:
    assert ideally_allowed([int(s * SECOND) for s in seconds], RATE) == passed


def limited(*verdicts: str) -> Promise:
    return figures.rate_accuracy([entry(verdict, agent="l") for verdict in verdicts], "l", RATE)


def ended(reason: str, code: int = 0, agent: str = "a") -> dict[str, Any]:
    return entry("OUTCOME", agent=agent, metadata={"ending": reason, "exit_code": code})


CALM = [{"restarts": 0}]
EATEN = ended("OUT_OF_MEMORY", 137, "greedy")
CASES = [
    ("as an ideal bucket", limited("ALLOWED", "ALLOWED", "ALLOWED", "RATE_LIMITED"), True),
    ("one too many", limited(*["ALLOWED"] * 4), False),
    ("one too few", limited("ALLOWED", "ALLOWED", "RATE_LIMITED"), False),
    ("nobody asked", limited(), False),
    ("every request has its decision", figures.recorded([entry(), entry("BLOCKED")], 2), True),
    ("a request without one", figures.recorded([entry()], 2), False),
    ("other entries are no decisions", figures.recorded([entry(), entry("INTENT")], 2), False),
    ("all blocked", figures.blocked([entry("BLOCKED", domain="evil")], "evil", 1, 0), True),
    ("one passed", figures.blocked([entry("ALLOWED", domain="evil")], "evil", 1, 1), False),
    ("blocked, but somebody came through", figures.blocked([entry("BLOCKED", domain="evil")], "evil", 1, 1), False),
    ("the wall holds", figures.isolation([ended("EXITED")], frozenset("a")), True),
    ("a check that failed", figures.isolation([ended("EXITED"), ended("EXITED", 1)], frozenset("a")), False),
    ("a check that was killed", figures.isolation([ended("SIGNALLED")], frozenset("a")), False),
    ("no check at all", figures.isolation([], frozenset("a")), False),
    ("only the greedy one", figures.crashes([EATEN], CALM, "greedy"), True),
    ("nobody was greedy", figures.crashes([], CALM, "greedy"), False),
    ("a neighbour", figures.crashes([EATEN, ended("OUT_OF_MEMORY")], CALM, "greedy"), False),
    ("a service", figures.crashes([EATEN], [{"restarts": 1}], "greedy"), False),
    ("a sandbox lost", figures.crashes([EATEN, entry("SANDBOX_LOST")], CALM, "greedy"), False),
]


@pytest.mark.parametrize(("name", "promise", "met"), CASES, ids=[name for name, *_ in CASES])
def test_a_promise_is_kept_or_missed(name: str, promise: Promise, met: bool) -> None:
    assert promise.met is met, promise
