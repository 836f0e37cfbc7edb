"""Takes whose answer came too late: they are given back, once, in whichever order both reach Redis."""

import asyncio
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from stockade_network_policy.adapters.limits_memory import MemoryLimits
from stockade_network_policy.adapters.limits_redis import RedisLimits
from stockade_network_policy.adapters.messages_memory import MemoryMessageLimits
from stockade_network_policy.domain.errors import LimitsUnavailable
from stockade_network_policy.domain.limits import Usage
from stockade_network_policy.domain.policy import Limits
from stockade_network_policy.permits import Messages

from support.clock import Clock
from support.redis_server import RedisServer, redis_server

START = 1_790_000_000_123_456  # µs
SECOND = 1_000_000
SLOW = Limits(requests_per_minute=1, requests_per_hour=1000, burst_size=10, max_tunnels=3)
QUICK = Limits(requests_per_minute=120, requests_per_hour=200, burst_size=10, max_tunnels=3)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as server:
        yield server


@pytest.fixture
async def hurried(redis: RedisServer) -> AsyncIterator[RedisLimits]:
    redis.empty()
    store = RedisLimits(redis.url)
    yield store
    await store.close()


async def give_back(store: RedisLimits, limits: Limits, name: str, tunnel: str) -> None:
    await store._run("give_back", "a1", limits, tunnel, 1, named=name)


async def take_late(store: RedisLimits, limits: Limits, name: str, tunnel: str) -> None:
    await store._run("take", "a1", limits, tunnel, 1, named=name)


async def given_back(*stores: RedisLimits) -> None:
    """Until nothing waits to be given back."""
    deadline = time.monotonic() + 15
    while any(store._late for store in stores):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", range(12))
async def test_what_was_given_back_never_lets_more_through(redis: RedisServer, seed: int) -> None:
    """Beside a counter that never saw the late ones, which overlap, and are given back while others come."""
    redis.empty()
    rng, clock = random.Random(seed), Clock(START)
    store, ideal = RedisLimits(redis.url, clock, 10.0), MemoryLimits(clock)
    limits, late = rng.choice((SLOW, QUICK)), dict[str, str]()
    for number in range(250):
        clock.now += rng.choice((0, 0, 1000, SECOND // 5, SECOND))
        name, tunnel = f"n{number}", rng.choice(("", "", f"t{number}"))
        what = rng.random()
        if what < 0.3:
            await take_late(store, limits, name, tunnel)
            late[name] = tunnel
        elif what < 0.35:
            await give_back(store, limits, name, tunnel)
            await take_late(store, limits, name, tunnel)
        elif what < 0.65 and late:
            given = rng.choice(list(late))
            await give_back(store, limits, given, late.pop(given))
        elif await store.take("a1", limits, tunnel=tunnel) is None:
            assert await ideal.take("a1", limits, tunnel=tunnel) is None
    for name, tunnel in late.items():
        for _ in range(2):
            await give_back(store, limits, name, tunnel)
    counted, wanted = await store.usage("a1", limits), await ideal.usage("a1", limits)
    assert counted.burst_left <= wanted.burst_left
    assert (counted.requests_last_hour, counted.tunnels_open) == (wanted.requests_last_hour, wanted.tunnels_open)
    await store.close()


async def test_what_another_late_one_was_given_back_is_not_counted_on(redis: RedisServer) -> None:
    redis.empty()
    clock = Clock(START)
    store, ideal = RedisLimits(redis.url, clock, 10.0), MemoryLimits(clock)
    await take_late(store, QUICK, "one", "")
    await take_late(store, QUICK, "two", "")
    await give_back(store, QUICK, "one", "")
    clock.now += SECOND // 4
    assert await store.take("a1", QUICK) is await ideal.take("a1", QUICK) is None
    await give_back(store, QUICK, "two", "")
    clock.now += SECOND * 3 // 10
    assert (await store.usage("a1", QUICK)).burst_left <= (await ideal.usage("a1", QUICK)).burst_left == 9
    await store.close()


async def test_on_a_clock_that_stands_still_exactly_the_burst_passes(redis: RedisServer) -> None:
    redis.empty()
    rng, clock = random.Random(7), Clock(START)
    store, passed = RedisLimits(redis.url, clock, 10.0), 0
    for number in range(80):
        if rng.random() < 0.5:
            steps = [take_late, give_back, give_back] if rng.random() < 0.5 else [give_back, take_late, give_back]
            for step in steps:
                await step(store, SLOW, f"n{number}", "")
        else:
            passed += await store.take("a1", SLOW) is None
    assert passed == SLOW.burst_size
    await store.close()


async def test_what_a_frozen_redis_takes_when_it_thaws_comes_back(redis: RedisServer, hurried: RedisLimits) -> None:
    assert await hurried.take("a1", SLOW) is None
    redis.process.send_signal(signal.SIGSTOP)
    try:
        answers = await asyncio.gather(*(hurried.take("a1", SLOW) for _ in range(30)), return_exceptions=True)
    finally:
        redis.process.send_signal(signal.SIGCONT)
    assert all(isinstance(answer, LimitsUnavailable) for answer in answers)
    await given_back(hurried)
    usage = await hurried.usage("a1", SLOW)
    assert (usage.burst_left, usage.requests_last_hour) == (9, 1)


async def test_of_ten_bursts_over_three_replicas_one_passes_although_redis_freezes(redis: RedisServer) -> None:
    redis.empty()
    replicas = [RedisLimits(redis.url) for _ in range(3)]

    async def asked_until_heard(store: RedisLimits) -> bool:
        while True:
            try:
                return await store.take("a1", SLOW) is None
            except LimitsUnavailable:
                await asyncio.sleep(0.05)
                await given_back(*replicas)

    asking = [asyncio.create_task(asked_until_heard(replicas[number % 3])) for number in range(100)]
    for _ in range(2):
        await asyncio.sleep(0.005)
        redis.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.15)
        redis.process.send_signal(signal.SIGCONT)
    assert sum(await asyncio.gather(*asking)) == SLOW.burst_size
    for store in replicas:
        await store.close()


async def test_an_answer_that_lies_in_the_socket_is_heard_by_a_late_loop(hurried: RedisLimits) -> None:
    await hurried.usage("a1", SLOW)  # a connection to ask by
    asked = asyncio.ensure_future(hurried.take("a1", SLOW))
    await asyncio.sleep(0.0002)  # until it is sent
    time.sleep(0.2)  # noqa: ASYNC251 - the loop stands still past the deadline, and Redis answers meanwhile
    assert await asked is None


class Forgetful(MemoryLimits):
    """Counts, and is away when it is asked what it counted."""

    async def usage(self, agent: str, limits: Limits) -> Usage:
        raise LimitsUnavailable("Redis does not answer")


async def test_permits_that_were_taken_are_given_whatever_becomes_of_the_next_question() -> None:
    permits = Messages(MemoryMessageLimits(), Forgetful())
    got = await permits.acquire(agent="a1", agent_type="x", message_type="m", permits=2)
    assert (got.refusal, got.burst_left) == (None, 0)
