"""Figures of decisions: made in-process, asked by RPC, counted by three replicas, changed on three replicas."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import decision_service_pb2_grpc, policy_service_pb2_grpc
from stockade.networkpolicy.v1 import policy_pb2 as policies
from stockade.networkpolicy.v1 import policy_service_pb2 as policy_pb
from stockade_agent.client import AsyncStockade
from stockade_agent.decider import LocalDecider
from stockade_rpckit import threads

from load.harness import Figure, p50, seconds_each
from support.policy_service import PolicyService, policy_service, replicas
from support.redis_server import redis_server

RATE, BURST = 6000, 100  # of the replicas' agent: a minute, at once
SECONDS = 60.0
HOST = "packages.npmjs.org"


async def measure() -> list[Figure]:
    """All of them, one after another."""
    with policy_service() as service:
        await put(service, "local", requests_per_minute=1_000_000, requests_per_hour=10_000_000, burst_size=100_000)
        figures = [await local_decision(service)]
    with three_replicas() as services:
        figures.append(await policy_change(services))
        figures.append(await burst_exact(services))
        figures.append(await limit_error(services))
    return figures


@contextmanager
def three_replicas() -> Iterator[list[PolicyService]]:
    """Three processes over one Redis and one store of policies."""
    with (
        tempfile.TemporaryDirectory() as directory,
        redis_server(Path(directory)) as redis,
        replicas(3, limits="redis", redis_url=redis.url) as services,
    ):
        yield services


async def put(service: PolicyService, agent_type: str, **limits: int) -> None:
    """A policy of that type that allows what is below npmjs.org."""
    policy = policies.Policy(agent_type=agent_type, allowed_domains=["*.npmjs.org"], limits=policies.Limits(**limits))
    request = policy_pb.CreatePolicyRequest(policy=policy)
    await threads.run(service.operator.policies.CreatePolicy, request)


def target(service: PolicyService, place: str = "services") -> str:
    """Where the service listens for that kind of principal."""
    return f"unix:{service.run_dir}/{place}/policy.sock"


def asking(agent_type: str, host: str = HOST) -> pb.CheckRequestRequest:
    """A question of the type's one agent: an agent that changed its type would bring along what it has spent."""
    return pb.CheckRequestRequest(request=pb.RequestToCheck(agent=agent_type, agent_type=agent_type, host=host))


async def local_decision(service: PolicyService) -> Figure:
    """A decision by snapshot and lease in this process, beside the same by RPC."""
    async with (
        AsyncStockade(lambda _service: target(service)) as stockade,
        LocalDecider(stockade, agent="local", agent_type="local", tokens=1000) as decider,
    ):
        taken = []
        for _ in range(1000):
            begun = time.perf_counter()
            decision = decider.decide(HOST)
            taken.append(time.perf_counter() - begun)
            assert decision is not None
            assert decision.allowed
        stub = stockade.stub(decision_service_pb2_grpc.DecisionServiceStub, "policy")

        async def rpc() -> None:
            assert (await stub.CheckRequest(asking("local"))).decision.verdict == pb.VERDICT_ALLOW

        beside = await seconds_each(500, rpc)
    return Figure("local_decision_p50_us", p50(sorted(taken)) * 1000, "µs", "≤ 2", {"CheckRequest": p50(beside) * 1000})


async def policy_change(services: list[PolicyService]) -> Figure:
    """From the call that allows a host until all three replicas let it pass; the worst of ten."""
    await put(services[0], "changing", requests_per_minute=60_000, requests_per_hour=1_000_000, burst_size=10_000)
    worst = 0.0
    for number in range(10):
        host = f"h{number}.example.com"
        begun = time.perf_counter()
        async with grpc.aio.insecure_channel(target(services[number % 3], "operators/ana")) as channel:
            add = policy_pb.AddDomainsRequest(agent_type="changing", domains=[host])
            await policy_service_pb2_grpc.PolicyServiceStub(channel).AddDomains(add)
        await asyncio.gather(*(_passes(service, host) for service in services))
        worst = max(worst, time.perf_counter() - begun)
    return Figure("policy_change_effective_ms", worst * 1000, "ms", "≤ 1000")


async def _passes(service: PolicyService, host: str) -> None:
    async with grpc.aio.insecure_channel(target(service)) as channel:
        stub = decision_service_pb2_grpc.DecisionServiceStub(channel)
        passed = False
        while not passed:
            passed = (await stub.CheckRequest(asking("changing", host))).decision.verdict == pb.VERDICT_ALLOW


async def burst_exact(services: list[PolicyService]) -> Figure:
    """Of ten bursts at once over three replicas, how many requests pass, beside the burst.

    A request whose count was not heard in time was not decided by a limit: it is asked again, as its answer says.
    """
    burst = 40
    await put(services[0], "bursting", requests_per_minute=1, requests_per_hour=100_000, burst_size=burst)
    await asyncio.sleep(1)  # until each replica has the policy
    passed = sum(await asyncio.gather(*(_storm(service, burst * 10 // 3 + 1) for service in services)))
    return Figure("burst_exact", float(passed), "requests", f"= {burst}", {"the burst": float(burst)})


async def _storm(service: PolicyService, count: int) -> int:
    async with grpc.aio.insecure_channel(target(service)) as channel:
        stub = decision_service_pb2_grpc.DecisionServiceStub(channel)
        return sum(await asyncio.gather(*(_heard(stub) for _ in range(count))))


async def _heard(stub: decision_service_pb2_grpc.DecisionServiceStub) -> bool:
    while True:
        decision = (await stub.CheckRequest(asking("bursting"))).decision
        if decision.rule != "limits_unavailable":
            return decision.verdict == pb.VERDICT_ALLOW
        await asyncio.sleep(decision.retry_after.ToNanoseconds() / 1e9)


async def limit_error(services: list[PolicyService]) -> Figure:
    """What three replicas let pass in a minute under half as much again as the limit, beside the ideal bucket.

    One of them is killed midway.
    """
    await put(services[0], "steady", requests_per_minute=RATE, requests_per_hour=1_000_000, burst_size=BURST)
    await asyncio.sleep(1)
    begun = time.perf_counter()
    senders = [asyncio.create_task(_send(service, begun)) for service in services]
    await asyncio.sleep(SECONDS / 2)
    services[2].process.kill()
    passed = sum(await asyncio.gather(*senders))
    ideal = BURST + RATE / 60 * SECONDS
    return Figure(
        "redis_limit_error_pct", abs(passed - ideal) / ideal * 100, "%", "≤ 0.1", {"the ideal bucket, requests": ideal}
    )


async def _send(service: PolicyService, begun: float) -> int:
    """Three quarters of the whole limit, evenly, so that any two replicas have more than enough to pass."""
    passed, every = 0, 60 / (RATE * 0.75)
    async with grpc.aio.insecure_channel(target(service)) as channel:
        stub = decision_service_pb2_grpc.DecisionServiceStub(channel)
        for number in range(int(SECONDS / every)):
            await asyncio.sleep(max(0.0, begun + number * every - time.perf_counter()))
            try:
                answer = await stub.CheckRequest(asking("steady"))
            except grpc.aio.AioRpcError:
                return passed
            passed += answer.decision.verdict == pb.VERDICT_ALLOW
    return passed
