"""Limits in Redis when Redis is frozen, killed and back, and three replicas that count as one."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade_network_policy.adapters.limits_guarded import GuardedLimits
from stockade_network_policy.adapters.limits_memory import MemoryLimits
from stockade_network_policy.adapters.limits_redis import RedisLimits
from stockade_network_policy.domain.errors import LimitsUnavailable
from stockade_network_policy.domain.policy import Limits
from stockade_network_policy.domain.ports import LimitStore

from support.policy_service import eventually, policy_service
from support.redis_server import RedisServer, redis_server

TEN = Limits(requests_per_minute=1, requests_per_hour=1000, burst_size=10)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as server:
        yield server


@pytest.fixture
async def denying(redis: RedisServer) -> AsyncIterator[LimitStore]:
    store = GuardedLimits(RedisLimits(redis.url), None, 1.0)
    yield store
    await store.close()


@pytest.fixture
async def counting_here(redis: RedisServer) -> AsyncIterator[LimitStore]:
    store = GuardedLimits(RedisLimits(redis.url), MemoryLimits(), 0.3)
    yield store
    await store.close()


async def timed(store: LimitStore, count: int) -> tuple[int, float]:
    """How many of `count` at once passed, and the longest anyone waited, in seconds, less what this loop was late."""

    async def one() -> tuple[bool, float]:
        started = time.perf_counter()
        try:
            passed = await store.take("a1", TEN) is None
        except LimitsUnavailable:
            passed = False
        return passed, time.perf_counter() - started

    lateness: list[float] = [0.0]
    watch = asyncio.create_task(_watch(lateness))
    answers = await asyncio.gather(*(one() for _ in range(count)))
    watch.cancel()
    return sum(passed for passed, _ in answers), max(waited for _, waited in answers) - sum(lateness)


async def _watch(lateness: list[float]) -> None:
    """Notes how late the loop comes back to us: a busy machine's fault and not the store's."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        lateness.append(max(0.0, time.perf_counter() - begun - 0.006))


async def test_frozen_and_denying(redis: RedisServer, denying: LimitStore) -> None:
    assert (await timed(denying, 3))[0] == 3
    redis.process.send_signal(signal.SIGSTOP)
    try:
        passed, waited = await timed(denying, 20)
        assert passed == 0
        assert waited < 0.1
        assert (await timed(denying, 20))[1] < 0.01  # nobody waits for it twice
    finally:
        redis.process.send_signal(signal.SIGCONT)
    await recovered(denying)


async def test_frozen_and_counting_here(redis: RedisServer, counting_here: LimitStore) -> None:
    assert (await timed(counting_here, 1))[0] == 1
    redis.process.send_signal(signal.SIGSTOP)
    try:
        passed, waited = await timed(counting_here, 20)
        assert passed == 3
        assert waited < 0.1
    finally:
        redis.process.send_signal(signal.SIGCONT)


async def test_killed_and_back(redis: RedisServer, denying: LimitStore) -> None:
    assert (await timed(denying, 3))[0] == 3
    redis.stop()
    passed, waited = await timed(denying, 20)
    assert passed == 0
    assert waited < 0.1
    redis.start()
    await recovered(denying)


def test_its_health_says_when_redis_is_away_and_back(redis: RedisServer) -> None:
    with policy_service(limits="redis", redis_url=redis.url) as service:
        assert service.health("limits")
        asking = pb.CheckRequestRequest(request=pb.RequestToCheck(host="api.anthropic.com"))
        redis.process.send_signal(signal.SIGSTOP)
        try:
            decision = service.agent("a1", "default").decisions.CheckRequest(asking).decision
            assert (decision.verdict, decision.rule) == (pb.VERDICT_LIMIT, "limits_unavailable")
            eventually(lambda: not service.health("limits"))
        finally:
            redis.process.send_signal(signal.SIGCONT)
        eventually(lambda: service.health("limits"))
        assert service.health("")


async def recovered(store: LimitStore) -> None:
    """Asks as another agent: what the frozen server had been sent, it counts when it thaws."""
    started = time.monotonic()
    while True:
        try:
            assert await store.take("another", TEN) is None
            break
        except LimitsUnavailable:
            assert time.monotonic() - started < 2
            await asyncio.sleep(0.05)


async def test_of_ten_bursts_at_once_over_three_replicas_one_passes(redis: RedisServer) -> None:
    replicas = [RedisLimits(redis.url, answer_s=10.0) for _ in range(3)]
    answers = await asyncio.gather(*(replicas[n % 3].take("a1", TEN) for n in range(100)))
    assert sum(refusal is None for refusal in answers) == 10
    for replica in replicas:
        await replica.close()
