"""Limits in a Redis Cluster one of whose masters goes under load, and Redis that would lose what it counts."""

import asyncio
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis as redis_client
from stockade_network_policy.adapters.limits_guarded import GuardedLimits
from stockade_network_policy.adapters.limits_redis import RedisLimits
from stockade_network_policy.domain.errors import LimitsUnavailable
from stockade_network_policy.domain.policy import Limits

from support.policy_service import PolicyService, policy_service, refusal
from support.redis_cluster import RedisCluster, redis_cluster
from support.redis_server import RedisServer, redis_server

AN_HOUR = 1000
LIMITS = Limits(requests_per_minute=1_000_000, requests_per_hour=AN_HOUR, burst_size=1_000_000)
NODE_TIMEOUT_MS = 1000  # after which a cluster takes a silent master for dead
RECOVERY_S = 10.0  # on a busy machine; what it took is printed
PATIENT_S = 5.0
AGENT = "hot"


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    with (
        tempfile.TemporaryDirectory() as directory,
        redis_cluster(Path(directory), replicas=1, node_timeout_ms=NODE_TIMEOUT_MS) as running,
    ):
        yield running


@asynccontextmanager
async def asking(url: str, count: int) -> AsyncIterator[list[GuardedLimits]]:
    """Replicas of the service, as far as they count."""
    replicas = [GuardedLimits(RedisLimits(url, cluster=True), None, 1.0) for _ in range(count)]
    watching = [asyncio.create_task(replica.watch()) for replica in replicas]
    yield replicas
    for task in watching:
        task.cancel()
    for replica in replicas:
        await replica.close()


class Load:
    """Requests of one agent through several replicas; `passed` are the times of those that were let through."""

    def __init__(self, replicas: list[GuardedLimits]) -> None:
        self.replicas = replicas
        self.passed: list[float] = []
        self.refused = 0
        self.exhausted = asyncio.Event()

    async def run(self, replica: GuardedLimits) -> None:
        while True:
            try:
                refusal = await replica.take(AGENT, LIMITS)
            except LimitsUnavailable:
                refusal = None
                self.refused += 1
            else:
                if refusal is None:
                    self.passed.append(time.monotonic())
                else:
                    self.exhausted.set()
            await asyncio.sleep(0.005)

    async def passes_since(self, since: float) -> float:
        """Seconds from `since` to the first request after it that passed."""
        while not self.passed or self.passed[-1] < since:
            assert time.monotonic() - since < RECOVERY_S
            await asyncio.sleep(0.01)
        return next(at for at in self.passed if at >= since) - since


MASTER_GOES: dict[str, Callable[["subprocess.Popen[bytes]"], object]] = {
    "killed": lambda master: master.kill(),
    "frozen": lambda master: master.send_signal(signal.SIGSTOP),
}


@pytest.mark.long
@pytest.mark.parametrize("way", MASTER_GOES)
async def test_a_master_that_goes_is_replaced_and_its_counts_with_it(cluster: RedisCluster, way: str) -> None:
    async with asking(cluster.url, 3) as replicas:
        load = Load(replicas)
        clients = [asyncio.create_task(load.run(replica)) for replica in replicas]
        await load.passes_since(time.monotonic())
        await asyncio.sleep(0.5)
        master = await asyncio.to_thread(cluster.master_of, f"stockade:limits:{{{AGENT}}}")
        MASTER_GOES[way](master)
        gone = time.monotonic()
        recovered = await load.passes_since(gone + 0.3)  # what was asked before may still be answered
        await load.exhausted.wait()
        await asyncio.sleep(0.5)  # in which more might pass
        for client in clients:
            client.cancel()
    error_pct = 100 * (len(load.passed) - AN_HOUR) / AN_HOUR
    print(
        f"{way}: passes again after {recovered + 0.3:.2f} s; {len(load.passed)} of {AN_HOUR} passed: {error_pct:+.2f} %"
    )
    assert load.refused, "nothing was refused meanwhile"
    # Redis replicates after it has answered: what the replica had not got yet is granted once more.
    assert error_pct < 50, "more was lost than the last moments' counts"


@pytest.fixture
def evicting() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(Path(directory), **{"maxmemory-policy": "allkeys-lru"})
        yield server
        server.stop()


def test_a_redis_that_loses_counts_is_refused_at_the_start(evicting: RedisServer, tmp_path: Path) -> None:
    line = refusal(PolicyService(tmp_path, limits="redis", redis_url=evicting.url))
    assert "allkeys-lru" in line
    assert "set its maxmemory-policy to noeviction" in line


def test_a_redis_that_lets_nobody_in_is_refused_at_the_start(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as server:
        with redis_client.Redis(unix_socket_path=str(server.socket)) as operator:
            operator.config_set("requirepass", "right")
        for url in (server.url, server.url.replace("unix://", "unix://:wr0ng@")):
            line = refusal(PolicyService(tmp_path, limits="redis", redis_url=url))
            assert "does not let us in" in line
            assert "wr0ng" not in line


def test_or_taken_where_the_operator_says_so(evicting: RedisServer) -> None:
    with policy_service(limits="redis", redis_url=evicting.url, redis_eviction_ok="true") as service:
        assert service.health("limits")


async def test_one_that_is_told_so_later_is_said_to_be_degraded(evicting: RedisServer) -> None:
    engine = RedisLimits(evicting.url, answer_s=PATIENT_S)
    limits = GuardedLimits(engine, None, 1.0)
    with redis_client.Redis(unix_socket_path=str(evicting.socket)) as operator:
        for policy, degraded in (("noeviction", False), ("volatile-ttl", True), ("noeviction", False)):
            operator.config_set("maxmemory-policy", policy)
            assert await engine.eviction_policy() == policy
            assert limits.degraded is degraded
            assert await limits.take("a1", LIMITS) is None
    await limits.close()


def test_a_cluster_is_asked_by_tcp(tmp_path: Path) -> None:
    service = PolicyService(tmp_path, limits="redis", redis_url="unix:///nowhere.sock", redis_cluster="true")
    assert "STOCKADE_POLICY_REDIS_URL: " in refusal(service)
