"""Permits for messages from a real process, asked by RPC and taken ahead by the SDK."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from stockade.networkpolicy.v1 import limit_service_pb2 as pb
from stockade_agent.client import AsyncStockade
from stockade_agent.messages import MessageLimiter

from support.policy_service import Caller, PolicyService, failure


def set_limit(service: PolicyService, **fields: object) -> None:
    service.operator.limits.SetMessageLimit(pb.SetMessageLimitRequest(limit=pb.MessageLimit(**fields)))


def acquire(agent: Caller, message_type: str, permits: int = 1) -> pb.AcquirePermitsResponse:
    return agent.limits.AcquirePermits(pb.AcquirePermitsRequest(message_type=message_type, permits=permits))


def test_the_burst_is_exact_and_a_refusal_says_when(service: PolicyService) -> None:
    set_limit(service, message_type="handoff", messages_per_minute=1, burst=5)
    agent = service.agent("sender-1", "sender")
    answers = [acquire(agent, "handoff") for _ in range(8)]
    assert [answer.granted for answer in answers] == [True] * 5 + [False] * 3
    assert answers[-1].rule == "message_type:handoff"
    assert 59 < answers[-1].retry_after.ToNanoseconds() / 1e9 <= 60


def test_permits_are_given_all_or_none(service: PolicyService) -> None:
    set_limit(service, message_type="batch", messages_per_minute=1, burst=5)
    agent = service.agent("sender-2", "sender")
    assert acquire(agent, "batch", 4).burst_left == 1
    assert not acquire(agent, "batch", 2).granted
    assert acquire(agent, "batch", 1).granted


def test_messages_and_requests_are_counted_apart(service: PolicyService) -> None:
    agent = service.agent("sender-3", "default")
    acquire(agent, "gossip", 10)
    assert agent.limits.GetLimitUsage(pb.GetLimitUsageRequest()).requests_last_hour == 0


def test_limits_are_listed_in_pages(service: PolicyService) -> None:
    for name in ("list.a", "list.b", "list.c"):
        set_limit(service, message_type=name, messages_per_minute=1, burst=1)
    shown: list[str] = []
    token = ""
    while True:
        page = service.auditor.limits.ListMessageLimits(pb.ListMessageLimitsRequest(page_size=2, page_token=token))
        shown += [limit.message_type for limit in page.limits]
        token = page.next_page_token
        if not token:
            break
    assert shown == sorted(shown)
    assert {"list.a", "list.b", "list.c"} <= set(shown)


def test_only_operators_set_limits(service: PolicyService) -> None:
    with pytest.raises(grpc.RpcError) as error:
        service.agent("a1", "default").limits.SetMessageLimit(
            pb.SetMessageLimitRequest(limit=pb.MessageLimit(messages_per_minute=1, burst=1))
        )
    assert failure(error.value)[:2] == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")


def test_an_agent_takes_its_own_permits_only(service: PolicyService) -> None:
    with pytest.raises(grpc.RpcError) as error:
        service.agent("a1", "default").limits.AcquirePermits(pb.AcquirePermitsRequest(agent="a2", message_type="x"))
    assert failure(error.value)[1] == "CALLER_NOT_ALLOWED"


@asynccontextmanager
async def limiter(service: PolicyService, agent: str) -> AsyncIterator[MessageLimiter]:
    target = f"unix:{service.run_dir}/services/policy.sock"
    async with AsyncStockade(lambda _service: target) as stockade:
        yield MessageLimiter(stockade, agent=agent, agent_type="sender")


async def test_the_sdk_takes_permits_ahead_and_never_more_than_the_burst(service: PolicyService) -> None:
    set_limit(service, message_type="ahead", messages_per_minute=1, burst=50)
    async with limiter(service, "sdk-1") as limits:
        permits = [await limits.acquire("ahead") for _ in range(80)]
    assert sum(permit.granted for permit in permits) == 50
    assert permits[-1].rule == "message_type:ahead"
    assert permits[-1].retry_after_s > 0


async def test_a_rare_sender_takes_one_at_a_time(service: PolicyService) -> None:
    set_limit(service, message_type="rare", messages_per_minute=1, burst=50)
    async with limiter(service, "sdk-2") as limits:
        for _ in range(3):
            assert (await limits.acquire("rare")).granted
            limits._stocks["rare"].until_s = 0.0  # as if a second had passed
    assert acquire(service.agent("sdk-2", "sender"), "rare").burst_left == 46
