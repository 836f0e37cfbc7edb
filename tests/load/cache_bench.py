"""The embedding cache's figures: vectors a second from memory, from Redis and from a sandbox, each beside others'."""

import inspect
import json
import os
import pkgutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import redis
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb
from stockade_agent.embeddings import CachedEmbedder
from stockade_agent.key import EmbeddingModel
from stockade_agent.near_cache import NearCache
from stockade_agent.offline_model import embed, offline_model
from stockade_agent.packing import pack
from stockade_agent.source import functions_of
from stockade_embedding_cache.domain.eviction import Lru, Sieve

from load import cache_traces
from load.cache_client import DIMENSIONS, KEYS, ROWS
from load.cache_frozen import freeze
from load.harness import ROOT, Figure, run, stack
from support.cache import ServedCache, agent_headers, key, served_cache
from support.redis_server import RedisServer, redis_server

HERE = Path(__file__).parent
CORPUS, EDITED = 170, 17
SECONDS = 3.0


async def measure() -> list[Figure]:
    """All figures, one after another, so that none is taken while another loads the machine."""
    return [*embedded(), *await on_redis(), *resident(), *hit_rates(), from_sandbox()]


def embedded() -> list[Figure]:
    """The default service: memory over SQLite."""
    with tempfile.TemporaryDirectory(prefix="sc-") as root, served_cache(Path(root)) as served:
        (per_second, cpu_us), one_p50 = busy(served), one_vector(served)
        from_the_model = real_model(served)
    beside = {"bare grpc.aio, the same bytes": bare()}
    return [
        Figure("batch_get_memory_vectors_per_s", per_second, "1/s", "≥ 100000", beside),
        Figure("batch_get_memory_server_cpu_us", cpu_us, "us of CPU a vector", ""),
        Figure("get_p50_us", one_p50, "us", ""),
        Figure("l0_hit_p50_us", near_hit(), "us", "≤ 5"),
        *from_the_model,
    ]


async def on_redis() -> list[Figure]:
    """Redis without memory above it, beside RedisVL and bare `MGET` on the same Redis; then Redis standing still."""
    with tempfile.TemporaryDirectory(prefix="sr-") as directory, redis_server(Path(directory)) as server:
        theirs, raw = redisvl(server), raw_mget(server)
        told = {"backend": "redis", "redis_url": server.url}
        with (
            tempfile.TemporaryDirectory(prefix="sc-") as root,
            served_cache(Path(root), memory_entries=1, redis_timeout_seconds=1, **told) as served,
        ):
            (ours, cpu_us), one_p50 = busy(served), one_vector(served)
        with tempfile.TemporaryDirectory(prefix="sc-") as root, served_cache(Path(root), **told) as served:
            frozen = await freeze(served, server)
    beside = {"RedisVL mget": theirs["mget_vectors_per_s"]}
    return [
        Figure("batch_get_redis_vectors_per_s", ours, "1/s", "≥ 50000, ≥ 20 × RedisVL", beside),
        Figure("batch_get_redis_share_of_mget", ours, "1/s", "", {"raw MGET, one client": raw}),
        Figure("batch_get_redis_server_cpu_us", cpu_us, "us of CPU a vector", ""),
        Figure("get_redis_p50_us", one_p50, "us", "", {"RedisVL get": theirs["get_p50_us"]}),
        *frozen,
    ]


def from_sandbox() -> Figure:
    """Four clients in one sandbox, through api.sock and the gate."""
    subprocess.run([ROOT / "examples/test_generator/build"], check=True)
    with stack() as run_dir, tempfile.TemporaryDirectory() as upload:
        (Path(upload) / "client.py").write_text((HERE / "cache_client.py").read_text())
        command = [ROOT / ".venv/bin/stockade", "--run-dir", run_dir, "run", "--agent-type=test-generator"]
        command += ["--image=stockade/example-test-generator", "--upload", upload, "--"]
        command += ["python3", "/workspace/client.py", "unix:/run/stockade/api.sock"]
        per_second = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return Figure("batch_get_api_sock_vectors_per_s", per_second, "1/s", "≥ 60000")


def busy(served: ServedCache) -> tuple[float, float]:
    """Vectors a second that four client processes read, and the microseconds of CPU that each takes of the service."""
    cpu, rows = cpu_seconds(served), served.operator().GetStats(pb.GetStatsRequest()).hits
    per_second = clients(served.root / "run/gate/cache.sock")
    cpu, rows = cpu_seconds(served) - cpu, served.operator().GetStats(pb.GetStatsRequest()).hits - rows
    return per_second, cpu / rows * 1e6


def clients(socket: Path) -> float:
    """Vectors a second that four client processes read in unary batches."""
    command = [sys.executable, HERE / "cache_client.py", f"unix:{socket}", "--agent", "bench"]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def cpu_seconds(served: ServedCache) -> float:
    """CPU that the service has taken so far, in user mode and in the kernel's (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bare() -> float:
    """The same clients on a server that does nothing: what gRPC in Python gives here."""
    with tempfile.TemporaryDirectory(prefix="sg-") as root:
        socket = Path(root) / "bare.sock"
        server = subprocess.Popen([sys.executable, HERE / "cache_bare.py", socket])
        try:
            while not socket.exists():
                time.sleep(0.05)
            return clients(socket)
        finally:
            server.terminate()
            server.wait()


def one_vector(served: ServedCache) -> float:
    """The median of reading one 1536-d vector, in microseconds."""
    agent = served.agent("bench")
    requests = [pb.GetRequest(key=KEYS[at : at + 32]) for at in range(0, len(KEYS), 32)]
    return median_us(lambda request: agent.Get(request), requests * 4)


def near_hit() -> float:
    """The median of one text that this process has embedded before, in microseconds."""
    with grpc.insecure_channel("unix:/nowhere") as channel:
        embedder = CachedEmbedder(channel, EmbeddingModel("bench", "m", "1", DIMENSIONS), lambda _: [])
        near = NearCache()
        near.put(embedder.model.key("text"), pack(np.ones((1, DIMENSIONS)), "f32"))
        embedder = CachedEmbedder(channel, embedder.model, lambda _: [], near=near)
        return median_us(embedder, [["text"]] * 20_000)


def real_model(served: ServedCache) -> list[Figure]:
    """Functions of the standard library by the offline model: cold, warm, and after a tenth was edited."""
    texts = functions(CORPUS)
    edited = [f"{text}\n# edited" if i % (CORPUS // EDITED) == 0 else text for i, text in enumerate(texts)]
    embed(["the model is loaded before anything is timed"])
    cold, _ = embed_anew(served, texts)
    warm = statistics.median(embed_anew(served, texts)[0] for _ in range(5))
    again, counts = embed_anew(served, edited)
    return [
        Figure("warm_over_cold", cold / warm, "×", "≥ 100 for 170 texts", {"cold, ms": cold * 1000}),
        Figure("reembed_after_edits_hits", 100 * counts.hits / CORPUS, "%", "90", {"ms": again * 1000}),
    ]


def embed_anew(served: ServedCache, texts: Sequence[str]) -> tuple[float, Any]:
    """Seconds that a process with an empty L0 takes, and its counts."""
    served.agent("real")
    embedder = CachedEmbedder(served.channels[-1], offline_model(), embed, metadata=agent_headers("real"))
    begun = time.perf_counter()
    embedder(texts)
    return time.perf_counter() - begun, embedder.counts


def functions(count: int) -> list[str]:
    """Functions of the standard library, from its modules in order of name."""
    found: dict[str, None] = {}
    for module in sorted(pkgutil.iter_modules([str(Path(inspect.__file__).parent)]), key=lambda module: module.name):
        if module.name.startswith("_") or len(found) >= count:
            continue
        path = Path(inspect.__file__).parent / f"{module.name}.py"
        if path.is_file():
            found |= dict.fromkeys(function.source for function in functions_of(path.read_text()))
    return list(found)[:count]


def resident() -> list[Figure]:
    """What 10,000 vectors in memory take of a process."""
    return [
        Figure("rss_10k_1536_mib", resident_mib("F32"), "MiB", "≤ 75"),
        Figure("rss_10k_1536_f16_mib", resident_mib("F16"), "MiB", "≤ 40"),
    ]


def resident_mib(dtype: str) -> float:
    """Growth of a process' resident memory by 10,000 more vectors of 1536 numbers."""
    program = f"""
import asyncio, os
from stockade_embedding_cache.adapters.memory import MemoryStore
from stockade_embedding_cache.domain.entry import Entry, Quota
from stockade_embedding_cache.domain.vector import Dtype, Format
def resident(): return 1024 * int(open("/proc/self/smaps_rollup").read().split("Rss:")[1].split()[0])
ample, form = Quota(10**6, 1 << 40), Format(1536, Dtype.{dtype})
store = MemoryStore(total=ample, quota=ample)
def put(count):
    for _ in range(count // 500):
        entries = {{os.urandom(32): Entry(form, os.urandom(form.row_bytes), "agent/a", 1e9, 2e9) for _ in range(500)}}
        asyncio.run(store.put("agents/a", entries))
put(2_000)  # uses up what importing left free
before = resident()
put(10_000)
print((resident() - before) / 2**20)
"""
    return float(subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE).stdout)


def hit_rates() -> list[Figure]:
    """What a shelf answers of the traces in cache_traces."""
    quarter, tenth = cache_traces.WORKING_SET // 4, cache_traces.WORKING_SET // 10
    popular = cache_traces.hit_rate(cache_traces.popular(), Sieve, quarter)
    sieve, lru = (cache_traces.hit_rate(cache_traces.scanned(), shelf, tenth) for shelf in (Sieve, Lru))
    return [
        Figure("hit_rate_quarter", popular, "%", "≥ 80"),
        Figure("hit_rate_tenth_with_scans", sieve, "%", "≥ 4 points over LRU", {"LRU": lru}),
    ]


def redisvl(server: RedisServer) -> dict[str, float]:
    """RedisVL's figures, from an environment that has it and nothing of ours."""
    python = ROOT / ".tools/redisvl/bin/python"
    if not python.exists():
        uv = ROOT / ".tools/uv/bin/uv"
        subprocess.run([uv, "venv", "-q", "-p", sys.executable, ROOT / ".tools/redisvl"], check=True)
        install = [uv, "pip", "install", "-q", "-p", python, "--require-hashes"]
        subprocess.run([*install, "-r", ROOT / "requirements/redisvl.txt"], check=True)
    command = [python, HERE / "cache_redisvl.py", server.socket]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def raw_mget(server: RedisServer) -> float:
    """Vectors a second of one client that asks Redis itself."""
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        names = [b"raw:" + key(row) for row in range(ROWS)]
        client.mset(dict.fromkeys(names, bytes(4 * DIMENSIONS)))
        begun, calls = time.perf_counter(), 0
        while time.perf_counter() - begun < SECONDS:
            client.mget(names)
            calls += 1
        return calls * ROWS / (time.perf_counter() - begun)


def median_us(work: Callable[[Any], Any], arguments: Sequence[Any]) -> float:
    """The median time of `work`, in microseconds."""
    taken = []
    for argument in arguments:
        begun = time.perf_counter()
        work(argument)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e6


if __name__ == "__main__":
    run(measure)
