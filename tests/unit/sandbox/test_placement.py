"""What a node takes, who is dead, and what a node finds on its return."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from stockade_sandbox.domain import errors, placement
from stockade_sandbox.domain.placement import View
from stockade_sandbox.domain.sandbox import Limits, Reason, Sandbox, State, Tier

A = Sandbox(
    name="sb-a",
    uid=7,
    state=State.RUNNING,
    image="i",
    limits=Limits(cpu=1.0, memory=1 << 30, disk=1 << 20, pids=16),
    tier=Tier.RUNC,
    cpus=(0,),
    node="node-1",
    owner="operator/ada",
    env={"TOKEN": "secret"},
)


def watched(looks: Sequence[tuple[float, dict[str, str]]]) -> View:
    view = View()
    for at, silent in looks:
        view = placement.seen(view, silent, at)
    return view


CALM: list[tuple[float, dict[str, str]]] = [(float(second), {}) for second in range(10)]
"""Ten seconds in which the registry answered and nobody was silent."""

DEATHS: dict[str, tuple[list[tuple[float, dict[str, str]]], dict[str, str]]] = {
    "nobody is silent": (CALM, {}),
    "one that has just become silent": ([*CALM, (10.0, {"n": "7"})], {}),
    "one that stays silent": ([*CALM, (10.0, {"n": "7"}), (11.0, {"n": "7"}), (12.0, {"n": "7"})], {"n": "7"}),
    "one that beat in between": ([*CALM, (10.0, {"n": "7"}), (11.0, {"n": "8"}), (12.0, {"n": "8"})], {}),
    "one that came back": ([*CALM, (10.0, {"n": "7"}), (11.0, {}), (12.0, {"n": "7"})], {}),
    "a registry that was away: all are silent": ([*CALM, (25.0, {"n": "7"}), (27.0, {"n": "7"})], {}),
    "a dead one, some time after the registry was back": (
        [*CALM, *((second, {"n": "7"}) for second in (25.0, 27.0, 29.0, 31.0))],
        {"n": "7"},
    ),
    "an asker that has just started": ([(0.0, {"n": "7"}), (2.0, {"n": "7"}), (4.0, {"n": "7"})], {}),
    "a registry's clock put forward: all are silent at one look": ([*CALM, (10.0, {"n": "7", "m": "3"})], {}),
}


@pytest.mark.parametrize("name", DEATHS)
def test_who_is_dead(name: str) -> None:
    looks, expected = DEATHS[name]
    assert placement.dead(watched(looks)) == expected


def test_a_dead_node_is_found_out_within_ten_seconds() -> None:
    assert placement.MOST_BEHIND_SECONDS < 10


def test_what_a_node_takes() -> None:
    placement.held_node("n", cordoned=False, living=2, limit=3)
    with pytest.raises(errors.NodeFull, match="cordoned"):
        placement.held_node("n", cordoned=True, living=0, limit=3)
    with pytest.raises(errors.NodeFull, match="its limit"):
        placement.held_node("n", cordoned=False, living=3, limit=3)
    assert placement.has_room(cordoned=False, living=2, limit=3)
    assert not placement.has_room(cordoned=True, living=0, limit=3)
    assert not placement.has_room(cordoned=False, living=3, limit=3)
    placement.held_quota("operator/ada", living=1, limit=2)
    with pytest.raises(errors.QuotaExceeded):
        placement.held_quota("operator/ada", living=2, limit=2)


def test_a_dead_nodes_sandbox_is_lost_and_one_that_had_not_started_never_was() -> None:
    lost = placement.lost(A, at=9.0)
    assert (lost.state, lost.reason, lost.ended_at, lost.env) == (State.LOST, Reason.NODE_LOST, 9.0, {})
    assert placement.lost(replace(A, state=State.STARTING), at=9.0).reason is Reason.START_FAILED


def test_a_node_that_is_back_drops_what_was_given_up_and_gives_up_what_it_does_not_have() -> None:
    kept, unknown = replace(A, name="sb-kept"), replace(A, name="sb-unknown")
    over = replace(A, name="sb-over", state=State.ENDED)
    found = placement.returned([A, kept, over], [kept, unknown], {"sb-a": placement.lost(A, 9.0), "sb-over": over})
    assert (found.drop, found.gone) == ((A,), (unknown,))


def test_nothing_secret_is_published() -> None:
    told = placement.published(A, "node-2")
    assert (told.node, told.env, told.uid) == ("node-2", {}, 0)
    assert "secret" not in repr(told)
