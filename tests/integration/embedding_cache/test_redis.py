"""The served cache on a real Redis: frozen, killed, absent, shared by two processes and by strangers."""

import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade.embeddingcache.v1 import vector_pb2
from stockade_agent.embeddings import CachedEmbedder
from stockade_agent.key import EmbeddingModel
from stockade_agent.near_cache import NearCache

from support.cache import ServedCache, agent_headers, bits, f32, key, served_cache, vector
from support.redis_server import RedisServer, redis_server

F4 = f32(4)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="sr-") as directory, redis_server(Path(directory)) as running:
        yield running


@pytest.fixture
def start(server: RedisServer) -> Iterator[Callable[..., ServedCache]]:
    """Starts services that share the Redis, each with directories of its own."""
    with tempfile.TemporaryDirectory(prefix="sc-") as root:
        running: list[Any] = []

        def one(**settings: object) -> ServedCache:
            directory = Path(root) / str(len(running))
            directory.mkdir()
            running.append(served_cache(directory, backend="redis", redis_url=server.url, **settings))
            served: ServedCache = running[-1].__enter__()
            return served

        yield one
        for served in running:
            served.__exit__(None, None, None)


def put(agent: Any, *names: object) -> list[bool]:
    rows = vector_pb2.Rows(format=F4, vectors=b"".join(map(vector, names)))
    reply = agent.BatchPut(pb.BatchPutRequest(keys=b"".join(map(key, names)), rows=rows))
    return bits(reply.stored, len(names))


def get(agent: Any, *names: object) -> list[bool]:
    """Which names are there; fails for one that has another's vector."""
    reply = agent.BatchGet(pb.BatchGetRequest(keys=b"".join(map(key, names)), format=F4))
    found = bits(reply.hits, len(names))
    hits = [name for name, hit in zip(names, found, strict=True) if hit]
    assert reply.vectors == b"".join(map(vector, hits))
    return found


def degraded(served: ServedCache) -> bool:
    return bool(served.operator().GetStats(pb.GetStatsRequest()).degraded)


def backend_health(served: ServedCache) -> str:
    with grpc.insecure_channel(f"unix:{served.root}/run/services/cache.sock") as channel:
        request = health_pb2.HealthCheckRequest(service="stockade.embeddingcache.v1.EmbeddingCacheService/backend")
        found = health_pb2_grpc.HealthStub(channel).Check(request)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(found.status))


def until(condition: Callable[[], bool], seconds: float) -> float:
    """How long it took until `condition` held; fails after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds
        time.sleep(0.02)
    return time.monotonic() - started


class Load:
    """Callers that get and put for as long as the block runs, and what they met."""

    def __init__(self, served: ServedCache, callers: int = 4) -> None:
        self._agents = [served.agent("loaded") for _ in range(callers)]
        self._stop = threading.Event()
        self.calls, self.errors, self.worst = 0, list[grpc.RpcError](), 0.0

    def _run(self, agent: Any) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                get(agent, *range(8), "absent")
                put(agent, *range(4))
            except grpc.RpcError as error:
                self.errors.append(error)
            self.calls += 2
            self.worst = max(self.worst, time.monotonic() - started)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._run, args=(agent,)) for agent in self._agents]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("calls", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_frozen_redis_hangs_nobody(start: Any, server: RedisServer, calls: int) -> None:
    served = start()
    agent = served.agent("loaded")
    put(agent, *range(8))
    with Load(served) as load:
        time.sleep(0.5)
        server.process.send_signal(signal.SIGSTOP)
        until(lambda: degraded(served), 2)
        before = load.calls
        until(lambda: load.calls > before + calls, 120)
        assert get(agent, *range(8)) == [True] * 8  # from memory
        server.process.send_signal(signal.SIGCONT)
        assert until(lambda: not degraded(served), 2) < 2
    assert load.errors == []
    # Two calls on a machine of two cores that five processes share; alone a call's worst is the wait of 50 ms.
    assert load.worst < 0.5
    assert served.log.count("backend lost") == served.log.count("backend back") >= 1


@pytest.mark.parametrize("calls", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_killed_redis_comes_back_empty_and_right(start: Any, server: RedisServer, calls: int) -> None:
    served = start()
    agent = served.agent("loaded")
    put(agent, *range(8))
    with Load(served) as load:
        server.stop()
        until(lambda: degraded(served), 2)
        assert put(agent, "during") == [True]
        assert get(agent, "during", 3, "never") == [True, True, False]
        before = load.calls
        until(lambda: load.calls > before + calls, 120)
        server.start()
        assert until(lambda: not degraded(served), 4) < 4
    assert load.errors == []
    assert put(agent, "after") == [True]
    assert get(agent, "after") == [True]


def test_a_full_redis_is_read_and_memory_takes_what_is_new(start: Any, server: RedisServer) -> None:
    served, other = start(), start()
    agent, elsewhere = served.agent("a"), other.agent("a")
    assert put(agent, 0) == [True]
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.config_set("maxmemory", 1)
        for _ in range(30):  # for longer than the breaker lets one call through to see
            assert put(agent, 1) == [True]
            assert get(agent, 0, 1, 2) == [True, True, False]
            assert get(elsewhere, 0, 1) == [True, False]
            time.sleep(0.03)
        assert degraded(served)
        assert served.log.count("backend lost") == 1
        client.config_set("maxmemory", 0)
    until(lambda: put(agent, 3) == [True] and not degraded(served), 2)
    assert served.log.count("backend back") == 1
    assert get(elsewhere, 3) == [True]


def test_starting_without_redis_works(start: Any, server: RedisServer) -> None:
    server.stop()
    served = start()
    agent = served.agent("a")
    assert put(agent, 1) == [True]
    assert get(agent, 1, 2) == [True, False]
    assert degraded(served)
    until(lambda: backend_health(served) == "NOT_SERVING", 2)
    with pytest.raises(grpc.RpcError) as failed:
        agent.ClearLayer(pb.ClearLayerRequest())
    assert (failed.value.code(), "retry when it is back" in failed.value.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        True,
    )
    server.start()
    until(lambda: not degraded(served), 4)
    until(lambda: backend_health(served) == "SERVING", 2)
    agent.ClearLayer(pb.ClearLayerRequest())


def test_replicas_share_entries_and_drop_what_another_cleared(start: Any) -> None:
    one, two = start(), start()
    put(one.agent("a"), 1, 2)
    assert get(two.agent("a"), 1, 2) == [True, True]
    one.agent("a").ClearLayer(pb.ClearLayerRequest())
    assert get(two.agent("a"), 1, 2) == [False, False]
    put(two.agent("a"), 1)
    one.operator().ClearWriter(pb.ClearWriterRequest(writer="agent/a"))
    assert get(two.agent("a"), 1) == [False]


@pytest.mark.long
@pytest.mark.timeout(180)
def test_what_was_cleared_before_an_outage_is_served_for_a_minute_at_most(start: Any, server: RedisServer) -> None:
    one, two, computed = start(), start(), list[str]()

    def embed(texts: Any) -> Any:
        computed.extend(texts)
        return np.stack([np.frombuffer(vector(text), "<f4") for text in texts])

    agent = two.agent("a")
    model = EmbeddingModel("local", "toy", "1", 4)
    embedder = CachedEmbedder(two.channels[-1], model, embed, metadata=agent_headers("a"))
    put(agent, 1)
    for _ in range(2):
        embedder(["text"])
    assert (get(agent, 1), computed) == ([True], ["text"])
    one.agent("a").ClearLayer(pb.ClearLayerRequest())
    server.process.send_signal(signal.SIGSTOP)  # before the other replica has asked for the epoch
    time.sleep(60)
    assert get(agent, 1) == [False]
    embedder(["text"])
    assert computed == ["text", "text"]
    server.process.send_signal(signal.SIGCONT)
    until(lambda: not degraded(two), 4)
    assert get(agent, 1) == [False]


@pytest.mark.parametrize("callers", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_cold_callers_of_two_processes_compute_once(start: Any, callers: int) -> None:
    computed: list[str] = []

    def embed(texts: Any) -> Any:
        time.sleep(0.1)
        computed.extend(texts)
        return np.stack([np.frombuffer(vector(text), "<f4") for text in texts])

    channels = []
    # While Redis is away leases hold within one process: a busy machine must not look like that.
    for served in (start(redis_timeout_seconds=2), start(redis_timeout_seconds=2)):
        served.agent("a")
        channels.append(served.channels[-1])
    model = EmbeddingModel("local", "toy", "1", 4)

    def call(i: int) -> bool:
        embedder = CachedEmbedder(channels[i % 2], model, embed, near=NearCache(0), metadata=agent_headers("a"))
        return embedder(["one"]).tobytes() == vector("one")

    with ThreadPoolExecutor(callers) as pool:
        assert all(pool.map(call, range(callers)))
    assert computed == ["one"]


def test_a_lease_holder_that_dies_is_replaced_from_another_process(start: Any) -> None:
    one, two = start(), start()
    ask = pb.LeaseComputeRequest(keys=key("x"), format=F4)
    ask.lease_ttl.FromMilliseconds(700)
    assert bits(one.agent("a").LeaseCompute(ask).granted, 1) == [True]
    one.kill()
    ask.wait.FromSeconds(10)
    started = time.monotonic()
    assert bits(two.agent("a").LeaseCompute(ask).granted, 1) == [True]
    assert 0.3 < time.monotonic() - started < 3


@pytest.mark.parametrize("strangers", [20_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_strangers_keys_are_neither_seen_nor_touched(
    start: Any, server: RedisServer, tmp_path: Path, strangers: int
) -> None:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        for at in range(0, strangers, 1000):
            client.mset({f"stranger:{i}": i for i in range(at, at + 1000)})
        monitored = tmp_path / "monitored"
        with monitored.open("w") as file:
            monitor = subprocess.Popen(["redis-cli", "-s", str(server.socket), "monitor"], stdout=file)
        served = start(prune_seconds=0.2)
        agent, ada = served.agent("a"), served.operator()
        put(agent, *range(50))
        assert get(agent, 1, "absent") == [True, False]
        assert len(agent.ListKeys(pb.ListKeysRequest(page_size=1000)).entries) == 50
        assert agent.GetSize(pb.GetSizeRequest()).size.entries == 50
        assert ada.GetStats(pb.GetStatsRequest()).total.entries == 50
        time.sleep(0.3)
        assert ada.ClearWriter(pb.ClearWriterRequest(writer="agent/a")).cleared_count == 50
        assert agent.ClearLayer(pb.ClearLayerRequest()).cleared_count == 0
        assert client.dbsize() == strangers + 2  # the layer's epoch, and the sizes of layers
    monitor.terminate()
    monitor.wait()
    commands = {line.split('"')[1].upper() for line in monitored.read_text().splitlines() if '"' in line}
    assert {"MGET", "EVAL", "INCR"} <= commands
    assert commands.isdisjoint({"KEYS", "FLUSHDB", "FLUSHALL", "CONFIG", "SCAN"})


@pytest.mark.parametrize("calls", [1_600, pytest.param(10_000, marks=pytest.mark.long)])
def test_calls_that_are_cancelled_leave_no_foreign_value(start: Any, server: RedisServer, calls: int) -> None:
    served = start(redis_pool=4, memory_entries=1)
    agent = served.agent("a")
    put(agent, *range(200))

    def hurry(seed: int) -> None:
        own, choose = served.agent("a"), np.random.default_rng(seed)
        for call in range(calls // 8):
            names = [int(name) for name in choose.integers(0, 200, size=20)]
            if call % 3:
                with suppress(grpc.RpcError):  # a deadline that cuts the call anywhere
                    request = pb.BatchGetRequest(keys=b"".join(map(key, names)), format=F4)
                    own.BatchGet(request, timeout=float(choose.uniform(0.0005, 0.01)))
            else:
                assert get(own, *names) == [True] * 20

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hurry, range(8)))
    assert get(agent, *range(200)) == [True] * 200
    assert not degraded(served)
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        assert len(client.client_list()) <= 4 + 1
