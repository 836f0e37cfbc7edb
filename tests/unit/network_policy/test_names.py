"""How many names below its wildcards an agent may have looked up in a minute."""

from hypothesis import given
from hypothesis import strategies as st
from stockade_network_policy import names
from stockade_network_policy.domain.limits import Refusal
from stockade_network_policy.names import NameBudget

from support.clock import Clock


def test_so_many_and_no_more_until_the_oldest_is_a_minute_old() -> None:
    clock = Clock()
    budget = NameBudget(2, clock)
    assert budget.take("ana", "a") is None
    clock.now = 10
    assert budget.take("ana", "b") is None
    assert budget.take("ana", "c") == Refusal("names_per_minute", 50_000_000)
    clock.now = 60
    assert budget.take("ana", "c") is None
    assert budget.take("ana", "d") == Refusal("names_per_minute", 10_000_000)


def test_the_same_name_costs_once() -> None:
    budget = NameBudget(1, Clock())
    assert [budget.take("ana", "a") for _ in range(100)] == [None] * 100


def test_each_agent_has_a_budget_of_its_own() -> None:
    budget = NameBudget(1, Clock())
    assert budget.take("ana", "a") is None
    assert budget.take("bob", "b") is None


def test_no_bound() -> None:
    budget = NameBudget(0, Clock())
    assert [budget.take("ana", str(number)) for number in range(1000)] == [None] * 1000


def test_agents_of_long_ago_take_no_room() -> None:
    clock = Clock()
    budget = NameBudget(1, clock)
    for number in range(names._AGENTS_KEPT + 1):
        budget.take(f"agent-{number}", "a")
    clock.now = 61
    budget.take("ana", "a")
    assert len(budget._asked) == 1


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 9)), max_size=200))
def test_no_minute_has_more_names_than_the_budget(asked: list[tuple[float, int]]) -> None:
    clock = Clock()
    budget = NameBudget(3, clock)
    passed: list[tuple[float, int]] = []
    for later, name in asked:
        clock.now += later
        if budget.take("ana", str(name)) is None:
            passed.append((clock.now, name))
        minute = {name for at, name in passed if at > clock.now - 60}
        assert len(minute) <= 2 * 3  # a name that counts since before the minute may be used in it
