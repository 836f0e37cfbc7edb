"""Every engine that counts passes the same suite, on a clock that the test turns."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.cluster import RedisCluster as RedisClient
from stockade_network_policy.adapters.limits_guarded import GuardedLimits
from stockade_network_policy.adapters.limits_memory import MemoryLimits
from stockade_network_policy.adapters.limits_redis import RedisLimits
from stockade_network_policy.domain.limits import MINUTE_US
from stockade_network_policy.domain.permits import MessageLimit, counted_as
from stockade_network_policy.domain.policy import Limits
from stockade_network_policy.domain.ports import LimitStore

from support.clock import Clock
from support.redis_cluster import RedisCluster, redis_cluster
from support.redis_server import RedisServer, redis_server

START = 1_790_000_000_123_456
SECOND = 1_000_000
PATIENT_S = 10.0  # what is tested here is what is counted, on a machine however busy
TEN = Limits(requests_per_minute=60, requests_per_hour=1000, burst_size=10)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with tempfile.TemporaryDirectory() as directory, redis_cluster(Path(directory)) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def agent() -> str:
    return f"agent-{random.getrandbits(64):x}"


@pytest.fixture(params=["memory", "redis", "guarded redis", "redis cluster"])
async def store(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[LimitStore]:
    engine: LimitStore
    if request.param == "memory":
        engine = MemoryLimits(clock)
    elif request.param == "redis cluster":
        engine = RedisLimits(request.getfixturevalue("cluster").url, clock, PATIENT_S, cluster=True)
    else:
        engine = RedisLimits(request.getfixturevalue("redis").url, clock, PATIENT_S)
    if request.param == "guarded redis":
        engine = GuardedLimits(engine, None, 1.0)
    yield engine
    await engine.close()


async def passed(store: LimitStore, agent: str, limits: Limits, count: int) -> int:
    return sum([await store.take(agent, limits) is None for _ in range(count)])


async def test_a_burst_is_exact(store: LimitStore, agent: str) -> None:
    answers = await asyncio.gather(*(store.take(agent, TEN) for _ in range(100)))
    assert sum(refusal is None for refusal in answers) == 10


async def test_a_refusal_says_when_and_is_right(store: LimitStore, agent: str, clock: Clock) -> None:
    await passed(store, agent, TEN, 10)
    refusal = await store.take(agent, TEN)
    assert refusal is not None
    assert (refusal.rule, refusal.retry_after_us) == ("requests_per_minute", SECOND)
    clock.now += SECOND - 1
    assert await store.take(agent, TEN) is not None
    clock.now += 1
    assert await store.take(agent, TEN) is None


async def test_the_hour(store: LimitStore, agent: str, clock: Clock) -> None:
    limits = Limits(requests_per_minute=1000, requests_per_hour=5, burst_size=100)
    assert await passed(store, agent, limits, 10) == 5
    refusal = await store.take(agent, limits)
    assert refusal is not None
    assert refusal.rule == "requests_per_hour"
    clock.now += refusal.retry_after_us - 1
    assert await store.take(agent, limits) is not None
    clock.now += 1
    assert await passed(store, agent, limits, 10) == 5


async def test_several_at_once_pass_all_or_none(store: LimitStore, agent: str) -> None:
    assert await store.take(agent, TEN, count=8) is None
    refusal = await store.take(agent, TEN, count=3)
    assert refusal is not None
    assert refusal.retry_after_us == SECOND
    assert await store.take(agent, TEN, count=2) is None


async def test_agents_do_not_share(store: LimitStore, agent: str) -> None:
    assert await passed(store, agent, TEN, 20) == 10
    assert await passed(store, f"{agent}-other", TEN, 20) == 10


async def test_a_change_of_policy_keeps_what_was_counted(store: LimitStore, agent: str) -> None:
    await passed(store, agent, TEN, 10)
    roomier = Limits(requests_per_minute=60, requests_per_hour=1000, burst_size=15)
    assert await passed(store, agent, roomier, 20) == 5


async def test_leases(store: LimitStore, agent: str, clock: Clock) -> None:
    assert await store.lend(agent, TEN, lease="l", tokens=6, lifetime_us=30 * SECOND) == (6, None)
    assert await passed(store, agent, TEN, 10) == 4
    tickets = [await store.redeem(agent, TEN, lease="l", ticket=ticket) for ticket in (0, 0, 5, 6)]
    assert [refusal is None for refusal in tickets] == [True, False, True, False]
    assert (await store.usage(agent, TEN)).tokens_on_lease == 4
    clock.now += SECOND
    assert await store.reclaim(agent, TEN, "l") == 4
    assert await store.reclaim(agent, TEN, "l") == 0
    assert await passed(store, agent, TEN, 10) == 5


async def test_a_lease_is_cut_to_what_there_is(store: LimitStore, agent: str) -> None:
    await passed(store, agent, TEN, 7)
    assert await store.lend(agent, TEN, lease="a", tokens=50, lifetime_us=SECOND) == (3, None)
    granted, refusal = await store.lend(agent, TEN, lease="b", tokens=50, lifetime_us=SECOND)
    assert granted == 0
    assert refusal is not None
    assert refusal.rule == "requests_per_minute"


async def test_what_a_dead_lease_held_counts_as_spent(store: LimitStore, agent: str, clock: Clock) -> None:
    await store.lend(agent, TEN, lease="l", tokens=10, lifetime_us=SECOND)
    clock.now += SECOND
    assert await store.redeem(agent, TEN, lease="l", ticket=0) is not None
    usage = await store.usage(agent, TEN)
    assert (usage.requests_last_hour, usage.tokens_on_lease, usage.burst_left) == (10, 0, 0)


async def test_tunnels(store: LimitStore, agent: str, clock: Clock) -> None:
    limits = Limits(
        requests_per_minute=6000, requests_per_hour=10000, burst_size=99, max_tunnels=2, tunnel_lifetime_s=30
    )
    assert [await store.take(agent, limits, tunnel=t) is None for t in ("a", "b", "c")] == [True, True, False]
    await store.close_tunnel(agent, "a")
    assert await store.take(agent, limits, tunnel="d") is None
    assert await store.take(agent, limits, tunnel="e") is not None
    clock.now += 30 * SECOND
    assert await store.take(agent, limits, tunnel="f") is None
    assert (await store.usage(agent, limits)).tunnels_open == 1


async def test_bytes(store: LimitStore, agent: str, clock: Clock) -> None:
    limits = Limits(requests_per_minute=6000, requests_per_hour=10000, burst_size=99, bytes_per_hour=10**12)
    assert not await store.add_bytes(agent, limits, 10**12 - 1)
    assert await store.take(agent, limits) is None
    assert await store.add_bytes(agent, limits, 1)
    refusal = await store.take(agent, limits)
    assert refusal is not None
    assert refusal.rule == "bytes_per_hour"
    assert (await store.usage(agent, limits)).bytes_last_hour == 10**12
    clock.now += refusal.retry_after_us
    assert await store.take(agent, limits) is None


async def test_redis_counts_as_memory_does(redis: RedisServer, clock: Clock, agent: str) -> None:
    """The two are one algorithm in two languages: random steps get equal answers."""
    stores = (MemoryLimits(clock), RedisLimits(redis.url, clock, PATIENT_S))
    dice = random.Random(5)
    limits = Limits(
        requests_per_minute=37,
        requests_per_hour=150,
        burst_size=11,
        max_tunnels=3,
        bytes_per_hour=5000,
        tunnel_lifetime_s=90,
    )
    for step in range(1500):
        clock.now += dice.choice((0, 0, 1, 12_345, SECOND, 7 * SECOND, 10 * MINUTE_US))
        answers = [await _step(store, agent, limits, step) for store in stores]
        assert answers[0] == answers[1], step
    await stores[1].close()


async def _step(store: LimitStore, agent: str, limits: Limits, step: int) -> object:
    dice = random.Random(step)
    kind = dice.choice(("take", "take", "tunnel", "lend", "redeem", "redeem", "reclaim", "bytes", "usage", "close"))
    earlier = str(step - dice.randrange(1, 12))
    if kind in ("take", "tunnel"):
        tunnel = str(step) if kind == "tunnel" else ""
        return await store.take(agent, limits, tunnel=tunnel, count=dice.choice((1, 1, 1, 3)))
    if kind == "lend":
        return await store.lend(agent, limits, lease=str(step), tokens=4, lifetime_us=20 * SECOND)
    if kind == "redeem":
        return await store.redeem(agent, limits, lease=earlier, ticket=dice.randrange(4))
    if kind == "reclaim":
        return await store.reclaim(agent, limits, earlier, spend=dice.random() < 0.5)
    if kind == "bytes":
        return await store.add_bytes(agent, limits, dice.randrange(100))
    if kind == "close":
        return await store.close_tunnel(agent, earlier)
    return await store.usage(agent, limits)


async def test_memory_forgets_agents_of_whom_nothing_is_counted(clock: Clock) -> None:
    """A caller that rotates names costs no memory: a sweep comes with every few thousand calls."""
    store = MemoryLimits(clock)
    for number in range(10_000):
        await store.take(f"agent-{number}", TEN)
    clock.now += 62 * MINUTE_US
    for _ in range(5_000):
        await store.take("agent-0", TEN)
    assert len(store._agents) < 10


async def test_all_that_is_counted_of_an_agent_lies_in_one_slot(cluster: RedisCluster, agent: str) -> None:
    store = RedisLimits(cluster.url, answer_s=PATIENT_S, cluster=True)
    await store.take(agent, TEN, tunnel="t")
    await store.lend(agent, TEN, lease="l", tokens=2, lifetime_us=SECOND)
    for message_type in ("", "task.handoff", "note"):
        await store.take(
            counted_as(agent, MessageLimit(message_type=message_type, messages_per_minute=9, burst=9)), TEN
        )
    await store.close()
    with RedisClient.from_url(cluster.url) as client:
        keys = list(client.scan_iter(f"stockade:limits:*{agent}*", target_nodes=RedisClient.PRIMARIES))
        assert len(keys) == 8, keys
        assert len({client.keyslot(key) for key in keys}) == 1
