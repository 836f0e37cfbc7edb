"""Limits hold exactly, on a clock that the test turns."""

from collections import deque
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from stockade_network_policy.domain.limits import (
    MINUTE_US,
    Counters,
    add_bytes,
    lend,
    reclaim,
    redeem,
    take,
    usage,
)
from stockade_network_policy.domain.policy import Limits

START = 1_790_000_000_123_456
SECOND = 1_000_000
HOUR_US = 60 * MINUTE_US
TEN = Limits(requests_per_minute=60, requests_per_hour=1000, burst_size=10)


def passed(counters: Counters, limits: Limits, count: int, now: int) -> int:
    return sum(take(counters, limits, now) is None for _ in range(count))


def most_within(times: Iterable[int], span: int) -> int:
    """The most events in any half-open span."""
    most, recent = 0, deque[int]()
    for time in times:
        recent.append(time)
        while recent[0] <= time - span:
            recent.popleft()
        most = max(most, len(recent))
    return most


def test_a_burst_is_exact_while_refill_stands_still() -> None:
    assert passed(Counters(), TEN, 100, START) == 10


def test_a_refused_request_says_when_and_is_right_to_the_microsecond() -> None:
    counters = Counters()
    passed(counters, TEN, 10, START)
    refusal = take(counters, TEN, START)
    assert refusal is not None
    assert (refusal.rule, refusal.retry_after_us) == ("requests_per_minute", SECOND)
    assert take(counters, TEN, START + SECOND - 1) is not None
    assert take(counters, TEN, START + SECOND) is None


def test_a_refused_request_costs_nothing() -> None:
    counters = Counters()
    passed(counters, TEN, 1000, START)
    assert counters.requests.total == 10
    assert passed(counters, TEN, 100, START + 10 * SECOND) == 10


def test_the_hour_refuses_and_says_when() -> None:
    limits = Limits(requests_per_minute=1000, requests_per_hour=5, burst_size=100)
    counters = Counters()
    assert passed(counters, limits, 10, START) == 5
    refusal = take(counters, limits, START)
    assert refusal is not None
    assert refusal.rule == "requests_per_hour"
    assert take(counters, limits, START + refusal.retry_after_us - 1) is not None
    assert passed(counters, limits, 10, START + refusal.retry_after_us) == 5


def test_a_request_that_the_hour_refuses_leaves_the_bucket_full() -> None:
    limits = Limits(requests_per_minute=1, requests_per_hour=1, burst_size=2)
    counters = Counters()
    assert passed(counters, limits, 5, START) == 1
    roomier = Limits(requests_per_minute=1, requests_per_hour=100, burst_size=2)
    assert passed(counters, roomier, 5, START) == 1


def test_a_change_of_policy_keeps_what_was_counted() -> None:
    counters = Counters()
    assert passed(counters, TEN, 10, START) == 10
    assert passed(counters, Limits(requests_per_minute=60, requests_per_hour=1000, burst_size=15), 20, START) == 5


def test_a_clock_that_goes_back_gives_nothing() -> None:
    counters = Counters()
    passed(counters, TEN, 10, START)
    assert take(counters, TEN, START - HOUR_US) is not None
    assert take(counters, TEN, START) is not None


STEPS = ["take", "lend", "redeem", "reclaim"]
LIMITS = st.builds(
    Limits,
    requests_per_minute=st.integers(1, 300),
    requests_per_hour=st.integers(1, 400),
    burst_size=st.integers(1, 50),
)
ARRIVALS = st.lists(  # a pause, then so many requests at once
    st.tuples(st.one_of(st.integers(0, 3 * SECOND), st.integers(0, 2 * HOUR_US)), st.integers(1, 80)), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(LIMITS, ARRIVALS)
def test_no_minute_and_no_hour_pass_more_than_they_may(limits: Limits, arrivals: list[tuple[int, int]]) -> None:
    counters, now, times = Counters(), START, []
    for pause, count in arrivals:
        now += pause
        times += [now] * passed(counters, limits, count, now)
    assert most_within(times, MINUTE_US) <= limits.requests_per_minute + limits.burst_size
    assert most_within(times, HOUR_US) <= limits.requests_per_hour


@settings(max_examples=200, deadline=None)
@given(
    LIMITS,
    st.lists(st.tuples(st.integers(0, 90 * SECOND), st.sampled_from(STEPS)), max_size=120),
)
def test_leases_let_nothing_more_through(limits: Limits, steps: list[tuple[int, str]]) -> None:
    """Tickets are requests at the moment they are used: with them, the same bounds hold."""
    counters, now, times = Counters(), START, []
    tickets: deque[tuple[str, int]] = deque()
    for number, (pause, step) in enumerate(steps):
        now += pause
        if step == "take" and take(counters, limits, now) is None:
            times.append(now)
        elif step == "lend":
            granted, _ = lend(counters, limits, now, lease=str(number), tokens=20, expire_us=now + 30 * SECOND)
            tickets.extend((str(number), ticket) for ticket in range(granted))
        elif step == "redeem" and tickets:
            lease, ticket = tickets.popleft()
            if redeem(counters, limits, now, lease=lease, ticket=ticket) is None:
                times.append(now)
        elif step == "reclaim" and tickets:
            reclaim(counters, limits, now, tickets[-1][0])
        assert 0 <= counters.held == sum(held.tokens - len(held.used) for held in counters.leases.values())
    assert most_within(times, MINUTE_US) <= limits.requests_per_minute + limits.burst_size
    assert most_within(times, HOUR_US) <= limits.requests_per_hour


def test_tokens_on_lease_count_against_the_burst_and_come_back() -> None:
    counters = Counters()
    assert lend(counters, TEN, START, lease="l", tokens=6, expire_us=START + 60 * SECOND) == (6, None)
    assert passed(counters, TEN, 10, START) == 4
    assert redeem(counters, TEN, START, lease="l", ticket=0) is None
    assert reclaim(counters, TEN, START, "l") == 5
    assert passed(counters, TEN, 10, START) == 5


def test_held_tokens_do_not_refill() -> None:
    counters = Counters()
    lend(counters, TEN, START, lease="l", tokens=6, expire_us=START + HOUR_US)
    assert passed(counters, TEN, 10, START + 600 * SECOND) == 4


def test_a_ticket_is_good_once() -> None:
    counters = Counters()
    lend(counters, TEN, START, lease="l", tokens=2, expire_us=START + 60 * SECOND)
    results = [redeem(counters, TEN, START, lease="l", ticket=ticket) for ticket in (0, 0, 1, 2)]
    assert [refusal is None for refusal in results] == [True, False, True, False]


def test_what_a_dead_lease_held_counts_as_spent() -> None:
    counters = Counters()
    lend(counters, TEN, START, lease="l", tokens=10, expire_us=START + SECOND)
    assert redeem(counters, TEN, START + SECOND, lease="l", ticket=0) is not None
    assert usage(counters, TEN, START + SECOND).requests_last_hour == 10
    assert reclaim(counters, TEN, START + SECOND, "l") == 0


def test_tunnels_are_counted_while_they_may_be_open() -> None:
    limits = Limits(
        requests_per_minute=6000, requests_per_hour=10000, burst_size=100, max_tunnels=2, tunnel_lifetime_s=30
    )
    counters = Counters()
    assert [take(counters, limits, START, t) is None for t in ("a", "b", "c")] == [True, True, False]
    assert take(counters, limits, START) is None  # a plain request opens none
    del counters.tunnels["a"]
    assert take(counters, limits, START, "d") is None
    assert take(counters, limits, START + 30 * SECOND, "e") is None  # whatever became of the others


def test_bytes_of_the_hour() -> None:
    limits = Limits(requests_per_minute=6000, requests_per_hour=10000, burst_size=100, bytes_per_hour=1000)
    counters = Counters()
    assert not add_bytes(counters, limits, 999, START)
    assert take(counters, limits, START) is None
    assert add_bytes(counters, limits, 1, START)
    refusal = take(counters, limits, START)
    assert refusal is not None
    assert refusal.rule == "bytes_per_hour"
    assert take(counters, limits, START + refusal.retry_after_us) is None


def test_usage_counts_nothing() -> None:
    counters = Counters()
    passed(counters, TEN, 3, START)
    shown = [usage(counters, TEN, START) for _ in range(5)]
    assert shown[0] == shown[-1]
    assert (shown[0].burst_left, shown[0].requests_last_hour, shown[0].retry_after_us) == (7, 3, 0)
