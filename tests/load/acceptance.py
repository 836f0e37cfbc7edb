"""The promised figures: a stack under a mixed load of agents, measured by what the services themselves recorded.

A minute of: agents that ask the gate for what they may and may not, one that asks faster than its limit, some whose
sandbox is tried from inside, one that takes all the memory it can get, and some that embed their code again and again.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from stockade.audit.v1 import audit_service_pb2, audit_service_pb2_grpc, entry_pb2
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as cache
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as cache_grpc
from stockade_agent.client import AsyncStockade
from stockade_agent.embeddings import CachedEmbedder
from stockade_agent.offline_model import embed, offline_model
from stockade_agent.sandbox import AsyncSandbox

from load import acceptance_figures as figures
from load.acceptance_checks import ASK, CHECKS, EAT
from load.acceptance_figures import Promise, Rate
from load.cache_bench import functions
from support.stack import ALLOWED, Stack, running_stack

SECONDS = 45
WORKERS, CHECKED, EMBEDDING = 4, 2, 2
EVIL = "evil.test"
LIMIT = Rate(per_minute=600, burst=20)
TYPE, LIMITED_TYPE, GREEDY = "test-generator", "load-tester", "greedy"


async def agents(stack: Stack) -> tuple[dict[str, int], Promise, Promise]:
    """All agents at once; requests sent by name, and what the cache's figures are."""
    async with AsyncStockade.connect(stack.run_dir) as stockade:
        asking = [ask(stockade, f"worker-{n}", TYPE, 0.25, ALLOWED, EVIL) for n in range(WORKERS)]
        limited = ask(stockade, "limited", LIMITED_TYPE, 0.02, ALLOWED)
        others = [check(stockade, f"checked-{n}") for n in range(CHECKED)]
        embedding = asyncio.to_thread(embeddings, stack.run_dir)
        *counts, _, _, promises = await asyncio.gather(
            *asking, limited, asyncio.gather(*others), eat(stockade), embedding
        )
    sent: dict[str, int] = {}
    for counted in counts:
        for name, count in counted.items():
            sent[name] = sent.get(name, 0) + count
    return sent, *promises


async def ask(stockade: AsyncStockade, agent: str, agent_type: str, pause: float, *names: str) -> dict[str, int]:
    """Ask the gate for these names until the time is over; how often each."""
    async with AsyncSandbox(stockade, agent=agent, agent_type=agent_type, network_mode="whitelisted") as sandbox:
        done = await sandbox.run("python3", "-c", ASK, str(SECONDS), str(pause), *names)
        assert done.ending.ok, done
        sent: dict[str, int] = json.loads(done.stdout)
        return sent


async def check(stockade: AsyncStockade, agent: str) -> None:
    """Try the wall from inside, each check a program, and all of them again until the time is over."""
    async with AsyncSandbox(stockade, agent=agent, agent_type=TYPE, network_mode="whitelisted") as sandbox:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for name, program in CHECKS.items():
                done = await sandbox.run("python3", "-c", program)
                if not done.ending.ok:
                    print(f"acceptance: {name} did not hold: {done}", file=sys.stderr)
            await asyncio.sleep(5)


async def eat(stockade: AsyncStockade) -> None:
    """Take all the memory there is, three times."""
    async with AsyncSandbox(stockade, agent=GREEDY, agent_type=TYPE, memory_bytes=128 << 20) as sandbox:
        for _ in range(3):
            await sandbox.run("python3", "-c", EAT)
            await asyncio.sleep(SECONDS / 5)


def embeddings(run_dir: Path) -> tuple[Promise, Promise]:
    """Agents that embed a code base on every run, of which a function in twenty was edited since; each run is a new
    process as far as the cache can tell. The hit rate is the service's own count."""
    texts = functions(120)
    embed(["the model is loaded before anything is timed"])
    socket = next((run_dir / "operators").iterdir()) / "cache.sock"
    alone, cached = [], []
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        for run in range(12):
            for agent in range(EMBEDDING):
                edited = [
                    f"{text}\n# run {run}" if run and n % 20 == run % 20 else text for n, text in enumerate(texts)
                ]
                embedder = CachedEmbedder(channel, offline_model(), embed, layer=f"agents/coder-{agent}")
                embedder(edited)
                known = texts[: len(texts) // 4]
                cached.append(
                    seconds(CachedEmbedder(channel, offline_model(), embed, layer=f"agents/coder-{agent}"), known)
                )
            alone.append(seconds(embed, texts[: len(texts) // 4]))
        stats = cache_grpc.EmbeddingCacheServiceStub(channel).GetStats(cache.GetStatsRequest())
    asked = stats.hits + stats.misses
    hit_rate = 100 * stats.hits / asked if asked else 0.0
    ratio = sorted(alone)[len(alone) // 2] / sorted(cached)[len(cached) // 2]
    return (
        figures.at_least("cache_hit_rate_pct", hit_rate, "%", 80, f"{stats.hits} of {asked} rows, by the service"),
        figures.at_least("cached_over_uncached", ratio, "×", 10, "30 texts: by the model, and from the cache"),
    )


def seconds(work: Any, texts: Sequence[str]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work(texts)
    return time.perf_counter() - begun


def everything(stack: Stack) -> list[dict[str, Any]]:
    """Every entry of the record, once all is indexed."""
    time.sleep(3)
    done = stack.stockade("audit", "list", "--oldest-first", "--limit", "1000000", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def measure(stack: Stack) -> list[Promise]:
    """Put the load on, then read what was recorded."""
    stack.zone.names[EVIL] = [stack.outside.evil.address]
    with (
        stack.policy(TYPE, ALLOWED),
        stack.policy(LIMITED_TYPE, ALLOWED, requests_per_minute=LIMIT.per_minute, burst_size=LIMIT.burst),
    ):
        sent, *of_cache = asyncio.run(agents(stack))
    entries = everything(stack)
    processes = json.loads(stack.stockade("status", "--json").stdout)["processes"]
    asking = [e for e in entries if e.get("agent", "").startswith("worker-") or e.get("agent") == "limited"]
    checked = frozenset(f"checked-{n}" for n in range(CHECKED))
    return [
        figures.crashes(entries, processes, GREEDY),
        figures.isolation(entries, checked),
        *of_cache,
        figures.recorded(asking, sum(sent.values())),
        figures.blocked(asking, EVIL, sent[EVIL], stack.outside.evil.plain.connections),
        figures.rate_accuracy(entries, "limited", LIMIT),
    ]


def record(stack: Stack, promises: Sequence[Promise]) -> None:
    """Write the figures into the record, so that evidence of the period has them."""
    told: Mapping[str, str] = {
        f"{p.name} ({p.target} {p.unit})".replace(" )", ")"): f"{p.value:.2f}: {p.counted}" for p in promises
    }
    met = all(promise.met for promise in promises)
    entry = entry_pb2.Entry(
        action=entry_pb2.ACTION_MEASURED, reason="ACCEPTANCE", status="MET" if met else "MISSED", metadata=told
    )
    with grpc.insecure_channel(f"unix:{stack.run_dir}/services/audit.sock") as channel:
        audit_service_pb2_grpc.AuditServiceStub(channel).AppendEntry(audit_service_pb2.AppendEntryRequest(entry=entry))


def evidence(stack: Stack, since: str, pack: Path) -> None:
    """The pack of the run, checked by its own verifier."""
    pack.unlink(missing_ok=True)
    done = stack.stockade("audit", "evidence", "--from", since, "--to", now(), "-o", str(pack))
    assert done.returncode == 0, done.stderr
    verifier = pack.with_name("verify.py")
    verifier.write_bytes(zipfile.ZipFile(pack).read("verify.py"))
    witness = stack.state_dir / "audit" / "witness"
    words = [pack, "--key", witness / "heads.pub", "--heads", witness]
    subprocess.run([sys.executable, "-I", "-S", verifier, *words], check=True, stdout=sys.stderr)
    verifier.unlink()


def now() -> str:
    """The time, as `--from` and `--to` take it."""
    return datetime.now(UTC).isoformat()


def main() -> int:
    """Measure, write, print; the status says whether every promise was kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True)
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    since = now()
    with running_stack() as stack:
        promises = measure(stack)
        record(stack, promises)
        evidence(stack, since, output.with_suffix(".zip"))
    output.write_text(json.dumps([promise.document() for promise in promises], indent=2, ensure_ascii=False) + "\n")
    for promise in promises:
        word = "kept" if promise.met else "MISSED"
        print(
            f"{promise.name:28} {promise.value:9.2f} {promise.unit:2} {promise.target:>6}  {word:6} {promise.counted}"
        )
    return 0 if all(promise.met for promise in promises) else 1


if __name__ == "__main__":
    sys.exit(main())
