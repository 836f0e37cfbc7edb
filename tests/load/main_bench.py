"""First figures of the main job: a sandbox and its first command, exec, a decision, vectors, the record."""

import secrets
import tempfile
from pathlib import Path
from typing import Any

import docker
import numpy as np
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as cache
from stockade.embeddingcache.v1 import embedding_cache_service_pb2_grpc as cache_grpc
from stockade.embeddingcache.v1 import vector_pb2
from stockade.networkpolicy.v1 import decision_service_pb2 as decisions
from stockade.networkpolicy.v1 import decision_service_pb2_grpc as decisions_grpc
from stockade.sandbox.v1 import exec_service_pb2 as execs
from stockade.sandbox.v1 import exec_service_pb2_grpc as execs_grpc
from stockade_agent.client import AsyncStockade
from stockade_agent.sandbox import AsyncSandbox
from stockade_audit import Action, Entry, Journal
from stockade_rpckit import threads
from stockade_rpckit.channel import connect

from load.harness import Figure, p50, per_second, run, seconds_each, stack

IMAGE = "stockade/agent:latest"
ROWS, DIMENSIONS = 256, 1536


async def measure() -> list[Figure]:
    """All figures, one after another, so that none is taken while another loads the machine."""
    with stack() as run_dir:
        async with AsyncStockade.connect(run_dir) as stockade:
            figures = [await first_exec(stockade), await exec_in_running(stockade)]
        figures += [await decision(run_dir), await vectors(run_dir)]
    return [*figures, await appends()]


async def first_exec(stockade: AsyncStockade) -> Figure:
    """A sandbox and its first command, over gRPC, beside `docker run` of the same image through the engine's API."""
    engine = docker.from_env()

    async def sandbox() -> None:
        async with AsyncSandbox(stockade, agent="bench", agent_type="default") as made:
            assert (await made.run("true")).ending.ok

    async def container() -> None:
        await threads.run(engine.containers.run, IMAGE, ["true"], network_mode="none", remove=True)

    ours, theirs = await seconds_each(15, sandbox), await seconds_each(15, container)
    return Figure(
        "create_first_exec_p50_ms", p50(ours), "ms", "first figure; ≤ 15 from a warm pool", {"docker run": p50(theirs)}
    )


async def exec_in_running(stockade: AsyncStockade) -> Figure:
    """A command in a sandbox that runs, beside `docker exec` in a plain container, both through their APIs."""
    engine = docker.from_env()
    async with AsyncSandbox(stockade, agent="bench", agent_type="default") as made:
        stub = stockade.stub(execs_grpc.ExecServiceStub, "sandbox")
        request = execs.RunCommandRequest(sandbox=made.name, command=execs.Command(args=["/bin/true"]))

        async def ours() -> None:
            assert (await stub.RunCommand(request)).ending.exit_code == 0

        taken = await seconds_each(200, ours)
    plain = engine.containers.run(IMAGE, ["sleep", "60"], network_mode="none", detach=True)
    try:

        async def theirs() -> None:
            assert (await threads.run(plain.exec_run, ["/bin/true"])).exit_code == 0

        beside = await seconds_each(30, theirs)
    finally:
        plain.remove(force=True)
    return Figure("exec_p50_ms", p50(taken), "ms", "≤ 5", {"docker exec": p50(beside)})


async def decision(run_dir: Path) -> Figure:
    """A decision over gRPC, durable before it is answered, beside the same RPC's channel doing no work (health)."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async with connect(f"unix:{next((run_dir / 'operators').iterdir())}/policy.sock") as channel:
        stub = decisions_grpc.DecisionServiceStub(channel)
        question = decisions.RequestToCheck(
            agent="bench", agent_type="load-tester", host="api.anthropic.com", port=443, method="CONNECT"
        )

        async def ask() -> None:
            await stub.CheckRequest(decisions.CheckRequestRequest(request=question))

        taken = await seconds_each(500, ask)
        health = health_pb2_grpc.HealthStub(channel)

        async def nothing() -> None:
            await health.Check(health_pb2.HealthCheckRequest())

        beside = await seconds_each(500, nothing)
    return Figure("check_request_p50_ms", p50(taken), "ms", "first figure", {"an RPC that does nothing": p50(beside)})


async def vectors(run_dir: Path) -> Figure:
    """256 × 1536-d f32 read from memory in one batch, one client; beside it the same bytes copied in this process."""
    async with connect(f"unix:{next((run_dir / 'operators').iterdir())}/cache.sock") as channel:
        stub = cache_grpc.EmbeddingCacheServiceStub(channel)
        keys = [secrets.token_bytes(32) for _ in range(ROWS)]
        rows = np.random.default_rng(1).standard_normal((ROWS, DIMENSIONS), dtype=np.float32)
        form = vector_pb2.VectorFormat(dtype=vector_pb2.DTYPE_F32, dimensions=DIMENSIONS)
        stored: Any = await stub.BatchPut(
            cache.BatchPutRequest(
                keys=b"".join(keys), layer="agents/bench", rows=vector_pb2.Rows(format=form, vectors=rows.tobytes())
            )
        )
        assert not stored.errors
        request = cache.BatchGetRequest(keys=b"".join(keys), layer="agents/bench", format=form)
        assert (await stub.BatchGet(request)).vectors == rows.tobytes()

        async def get() -> None:
            await stub.BatchGet(request)

        rate = await per_second(1, 60, get) * ROWS
    return Figure("batch_get_vectors_per_s", rate, "1/s", "first figure; ≥ 100,000 with four clients")


async def appends() -> Figure:
    """Durable appends at 512 a commit, beside one commit per entry."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        journal = Journal.open(Path(directory), service="bench", slot="bench-0")
        batches = [[_entry(number) for number in range(512)] for _ in range(100)]
        entries = [_entry(number) for number in range(500)]

        async def many() -> None:
            await journal.append_many(batches.pop())

        async def one() -> None:
            await journal.append(entries.pop())

        rate, single = await per_second(4, 25, many) * 512, await per_second(1, 500, one)
        journal.close()
    return Figure("audit_append_per_s", rate, "1/s", "first figure; ≥ 100,000", {"one commit per entry": single})


def _entry(number: int) -> Entry:
    return Entry(
        action=Action.ALLOWED,
        agent=f"agent-{number % 16}",
        agent_type="test-generator",
        sandbox="sb-abcdefgh2345",
        domain="api.anthropic.com",
        rule="allowed_domains:api.anthropic.com",
        method="CONNECT",
        status=200,
        bytes_sent=number,
        trace_id="0af7651916cd43dd8448eb211c80319c",
        metadata={"port": 443},
    )


if __name__ == "__main__":
    run(measure)
