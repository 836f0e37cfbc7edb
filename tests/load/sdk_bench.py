"""What the Python SDK adds: to an exec over the raw stub, to a decision, to a message, and at import."""

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

from stockade.networkpolicy.v1 import (
    limit_service_pb2,
    limit_service_pb2_grpc,
    policy_pb2,
    policy_service_pb2,
    policy_service_pb2_grpc,
)
from stockade.sandbox.v1 import exec_service_pb2, exec_service_pb2_grpc
from stockade_agent import AsyncSandbox, AsyncStockade, BaseAgent, MessageLimiter
from stockade_agent.client import trace_metadata

from load.harness import Figure, run, stack

EXECS = 300
HOST = "packages.npmjs.org"
IMPORT = "import stockade_agent; stockade_agent.Stockade, stockade_agent.Sandbox, stockade_agent.BaseAgent"


async def measure() -> list[Figure]:
    """All of them, one after another."""
    with stack() as run_dir:
        person = next((run_dir / "operators").iterdir())
        async with AsyncStockade(lambda service: f"unix:{person / service}.sock") as stockade:
            await _allow(stockade)
            figures = [await execs(stockade), *await decisions(stockade)]
        async with AsyncStockade(lambda service: f"unix:{run_dir}/services/{service}.sock") as stockade:
            figures.append(await permits(stockade))
    return [*figures, imports()]


async def execs(stockade: AsyncStockade) -> Figure:
    """`AsyncSandbox.run`, beside the same call on the generated stub; by turns, so that both meet the same noise."""
    async with AsyncSandbox(stockade, agent="bench") as sandbox:
        stub = sandbox.stub(exec_service_pb2_grpc.ExecServiceStub)
        command = exec_service_pb2.Command(args=["/bin/true"])
        start = exec_service_pb2.ExecStart(sandbox=sandbox.name, command=command, no_stdin=True)

        async def raw() -> None:
            call = stub.Exec(iter([exec_service_pb2.ExecRequest(start=start)]), metadata=trace_metadata())
            async for event in call:
                if event.HasField("ended"):
                    assert event.ended.exit_code == 0

        async def ours() -> None:
            assert (await sandbox.run("/bin/true")).ending.ok

        pairs = [(await _seconds(ours), await _seconds(raw)) for _ in range(EXECS)]
    ours_p50, raw_p50 = (median(each) for each in zip(*pairs, strict=True))
    added = median(mine - theirs for mine, theirs in pairs)
    print(f"exec by the SDK {ours_p50 * 1e3:.2f} ms, by the stub {raw_p50 * 1e3:.2f} ms", file=sys.stderr)
    return Figure("sdk_exec_overhead_us", added * 1e6, "µs", "≤ 300", {"raw stub, p50": raw_p50 * 1e6})


async def decisions(stockade: AsyncStockade) -> list[Figure]:
    """What `make_network_request` does before it sends: decide in this process, by snapshot and lease."""
    async with BaseAgent(stockade, "bench", agent_type="bench") as agent:
        await agent._decide("https", HOST, 443, "GET")
        taken = []
        for _ in range(80):  # fewer than are leased at a time
            begun = time.perf_counter()
            decision = await agent._decide("https", HOST, 443, "GET")
            taken.append(time.perf_counter() - begun)
            assert decision is not None
            assert decision.lease, "it was made here"
        return [Figure("local_decision_p50_us", median(taken) * 1e6, "µs", "≤ 2")]


async def permits(stockade: AsyncStockade) -> Figure:
    """A permit for a message, while permits are at hand."""
    limiter = MessageLimiter(stockade, agent="bench", agent_type="bench")
    taken = []
    for _ in range(3000):
        begun = time.perf_counter()
        permit = await limiter.acquire("task.handoff")
        taken.append(time.perf_counter() - begun)
        assert permit.granted
    return Figure("message_permit_p50_us", median(taken) * 1e6, "µs", "≤ 5 from a lease")


def imports() -> Figure:
    """A process that imports what most programs use, beside one that imports nothing."""
    ours, nothing = ([_process(text) for _ in range(15)] for text in (IMPORT, "pass"))
    return Figure("sdk_import_ms", (median(ours) - median(nothing)) * 1e3, "ms", "≤ 150",
                  {"an empty program": median(nothing) * 1e3})  # fmt: skip


def _process(text: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", text], check=True)
    return time.perf_counter() - begun


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


async def _allow(stockade: AsyncStockade) -> None:
    limits = policy_pb2.Limits(requests_per_minute=1_000_000, requests_per_hour=10_000_000, burst_size=100_000)
    policy = policy_pb2.Policy(agent_type="bench", allowed_domains=["*.npmjs.org"], limits=limits)
    stub = stockade.stub(policy_service_pb2_grpc.PolicyServiceStub, "policy")
    await stub.CreatePolicy(policy_service_pb2.CreatePolicyRequest(policy=policy))
    limit = limit_service_pb2.MessageLimit(agent_type="bench", messages_per_minute=1_000_000, burst=100_000)
    service = stockade.stub(limit_service_pb2_grpc.LimitServiceStub, "policy")
    await service.SetMessageLimit(limit_service_pb2.SetMessageLimitRequest(limit=limit))


if __name__ == "__main__":
    run(measure)
