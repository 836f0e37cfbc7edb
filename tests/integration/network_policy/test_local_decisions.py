"""The SDK's decider against a real process: what it decides here is counted and recorded there, once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from stockade.networkpolicy.v1 import limit_service_pb2 as limits_pb
from stockade.networkpolicy.v1 import policy_pb2 as policies
from stockade.networkpolicy.v1 import policy_service_pb2 as policy_pb
from stockade_agent.client import AsyncStockade
from stockade_agent.decider import LocalDecider

from support.policy_service import PolicyService, policy_service


def put(service: PolicyService, agent_type: str, burst: int = 50) -> None:
    limits = policies.Limits(requests_per_minute=1, requests_per_hour=10_000, burst_size=burst)
    policy = policies.Policy(agent_type=agent_type, allowed_domains=["a.com"], limits=limits)
    service.operator.policies.CreatePolicy(policy_pb.CreatePolicyRequest(policy=policy))


@asynccontextmanager
async def decider(service: PolicyService, agent_type: str, **options: Any) -> AsyncIterator[LocalDecider]:
    target = f"unix:{service.run_dir}/services/policy.sock"
    async with (
        AsyncStockade(lambda _service: target) as stockade,
        LocalDecider(stockade, agent=f"{agent_type}-1", agent_type=agent_type, **options) as made,
    ):
        yield made


def used(service: PolicyService, agent: str) -> int:
    answer = service.service.limits.GetLimitUsage(limits_pb.GetLimitUsageRequest(agent=agent, agent_type="default"))
    return answer.requests_last_hour + answer.tokens_on_lease


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_decided_here_counted_and_recorded_there(service: PolicyService) -> None:
    put(service, "local")
    async with decider(service, "local", tokens=20) as made:
        allowed = [made.decide("a.com") for _ in range(3)]
        assert all(decision and decision.allowed for decision in allowed)
        refused = made.decide("b.com")
        assert refused is not None
        assert (refused.allowed, refused.rule) == (False, "block_unknown_domains")
        for decision in allowed[:2]:
            assert decision is not None
            made.record(decision, status=200, bytes_received=7)
    assert used(service, "local-1") == 3
    entries = [e for e in service.entries(agent="local-1") if e.get("metadata", {}).get("local")]
    assert sorted(entry["action"] for entry in entries) == ["ALLOWED", "ALLOWED", "ALLOWED", "BLOCKED"]
    closings = [e["action"] for e in service.entries(agent="local-1", domain="a.com") if e.get("intent_id")]
    assert sorted(closings) == ["OUTCOME", "OUTCOME", "OUTCOME_UNKNOWN"]


async def test_more_than_a_lease_holds_is_still_decided_and_never_more_than_the_burst(service: PolicyService) -> None:
    put(service, "thirsty", burst=30)
    async with decider(service, "thirsty", tokens=7) as made:
        verdicts = []
        for _ in range(60):
            verdicts.append((await made.check("a.com")).allowed)
            await asyncio.sleep(0.01)
    assert sum(verdicts) == 30
    assert used(service, "thirsty-1") == 30


async def test_what_it_is_not_sure_of_the_service_decides(service: PolicyService) -> None:
    put(service, "unsure")
    async with decider(service, "unsure", tokens=5) as made:
        assert made.decide("A.com.") is None
        decision = await made.check("A.com.")
        assert (decision.allowed, bool(decision.decision_id)) == (True, True)
        made.record(decision, status=204)
    (closing,) = service.entries(intent_id=decision.decision_id)
    assert closing["status"] == 204


async def test_a_change_of_policy_is_in_force_here_within_a_second(service: PolicyService) -> None:
    put(service, "changed-here")
    async with decider(service, "changed-here", tokens=5) as made:
        assert (await made.check("b.com")).allowed is False
        add = policy_pb.AddDomainsRequest(agent_type="changed-here", domains=["b.com"])
        await asyncio.to_thread(service.operator.policies.AddDomains, add)
        started = time.monotonic()
        while not ((decision := made.decide("b.com")) and decision.allowed):
            assert time.monotonic() - started < 1
            await asyncio.sleep(0.01)


async def test_an_idle_decider_gives_its_tokens_back(service: PolicyService) -> None:
    put(service, "idle", burst=10)
    async with decider(service, "idle", tokens=10) as made:
        assert used(service, "idle-1") == 10
        made._lease.until_s = 0.0  # type: ignore[union-attr]
        await eventually(lambda: used(service, "idle-1") == 0)


async def test_a_service_started_again_lends_anew() -> None:
    with policy_service() as own:
        put(own, "again")
        async with decider(own, "again", tokens=5) as made:
            before = made.decide("a.com")
            assert before is not None
            await asyncio.to_thread(own.stop)
            await asyncio.to_thread(own.start)
            made.record(before, status=200)

            def lent_anew() -> bool:
                decision = made.decide("a.com")
                return decision is not None and decision.lease.split(".")[0] != before.lease.split(".")[0]

            await eventually(lent_anew)


async def test_without_the_service_nothing_more_is_allowed(service: PolicyService) -> None:
    put(service, "alone", burst=3)
    async with decider(service, "alone", tokens=3) as made:
        made._leases.LeaseQuota = _unavailable
        assert [bool((await made.check("a.com")).allowed) for _ in range(4)] == [True, True, True, False]


def _unavailable(_request: object) -> Awaitable[object]:
    raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
