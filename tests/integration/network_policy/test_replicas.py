"""Three replicas that share policies in SQLite and counts in Redis are one service."""

import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import limit_service_pb2 as limits_pb
from stockade.networkpolicy.v1 import policy_pb2 as policies
from stockade.networkpolicy.v1 import policy_service_pb2 as policy_pb

from support.policy_service import Caller, PolicyService, failure, replicas
from support.redis_server import redis_server

BATCH = pb.BatchCheckRequestsRequest(requests=[pb.RequestToCheck(host="a.com")] * 50)


@pytest.fixture(scope="module")
def three() -> Iterator[list[PolicyService]]:
    with (
        tempfile.TemporaryDirectory() as directory,
        redis_server(Path(directory)) as redis,
        replicas(3, limits="redis", redis_url=redis.url) as services,
    ):
        yield services


def put(service: PolicyService, agent_type: str, **limits: int) -> None:
    wanted = {"requests_per_minute": 1, "requests_per_hour": 1000, "burst_size": 10, **limits}
    policy = policies.Policy(agent_type=agent_type, allowed_domains=["a.com"], limits=policies.Limits(**wanted))
    service.operator.policies.CreatePolicy(policy_pb.CreatePolicyRequest(policy=policy))


def agents(services: list[PolicyService], agent_type: str) -> list[Caller]:
    return [service.agent(f"{agent_type}-1", agent_type) for service in services]


def verdict(agent: Caller, host: str) -> int:
    request = pb.CheckRequestRequest(request=pb.RequestToCheck(host=host))
    return agent.decisions.CheckRequest(request).decision.verdict


def wait_for(agent: Caller, host: str, wanted: int, within_s: float = 1.0) -> None:
    started = time.monotonic()
    while verdict(agent, host) != wanted:
        assert time.monotonic() - started < within_s
        time.sleep(0.01)


def test_a_change_is_in_force_on_all_within_a_second_and_keeps_counts(three: list[PolicyService]) -> None:
    put(three[0], "spread", burst_size=100)
    asking = agents(three, "spread")
    for agent in asking:
        wait_for(agent, "a.com", pb.VERDICT_ALLOW)
    before = asking[0].limits.GetLimitUsage(limits_pb.GetLimitUsageRequest()).requests_last_hour
    add = policy_pb.AddDomainsRequest(agent_type="spread", domains=["b.com"])
    three[1].operator.policies.AddDomains(add)
    for agent in asking:
        wait_for(agent, "b.com", pb.VERDICT_ALLOW)
    after = asking[2].limits.GetLimitUsage(limits_pb.GetLimitUsageRequest()).requests_last_hour
    assert after == before + 3


def test_ten_bursts_at_once_pass_one(three: list[PolicyService]) -> None:
    put(three[0], "stormy", burst_size=30)
    asking = agents(three, "stormy")
    for agent in asking:
        wait_for(agent, "evil.com", pb.VERDICT_DENY)
    time.sleep(0.5)  # until every replica has the policy

    def storm(agent: Caller) -> int:
        answer = agent.decisions.BatchCheckRequests(BATCH)
        unheard = sum(decision.rule == "limits_unavailable" for decision in answer.decisions)  # on a busy machine
        again = sum(asked_until_heard(agent) for _ in range(unheard))
        return again + sum(decision.verdict == pb.VERDICT_ALLOW for decision in answer.decisions)

    with ThreadPoolExecutor() as threads:
        assert sum(threads.map(storm, asking * 2)) == 30


def asked_until_heard(agent: Caller) -> bool:
    while True:
        decision = agent.decisions.CheckRequest(
            pb.CheckRequestRequest(request=pb.RequestToCheck(host="a.com"))
        ).decision
        if decision.rule != "limits_unavailable":
            return decision.verdict == pb.VERDICT_ALLOW
        time.sleep(0.3)


def test_ten_bursts_of_messages_at_once_pass_one(three: list[PolicyService]) -> None:
    limit = limits_pb.MessageLimit(message_type="stormy", messages_per_minute=1, burst=30)
    three[0].operator.limits.SetMessageLimit(limits_pb.SetMessageLimitRequest(limit=limit))
    time.sleep(0.6)  # until every replica has it
    asking = agents(three, "sender")

    def storm(agent: Caller) -> int:
        return sum(granted(agent) for _ in range(50))

    with ThreadPoolExecutor() as threads:
        assert sum(threads.map(storm, asking * 2)) == 30


def granted(agent: Caller) -> bool:
    """Whether a permit was given, asked again where Redis was not heard in time."""
    while True:
        try:
            return agent.limits.AcquirePermits(limits_pb.AcquirePermitsRequest(message_type="stormy")).granted
        except grpc.RpcError as error:
            if failure(error)[1] != "LIMITS_UNAVAILABLE":
                raise
            time.sleep(0.3)


def test_one_killed_midway_takes_no_count_with_it(three: list[PolicyService]) -> None:
    put(three[0], "bereft", burst_size=10)
    asking = agents(three, "bereft")
    for agent in asking:
        wait_for(agent, "a.com", pb.VERDICT_ALLOW)
    three[2].stop(signal.SIGKILL)
    try:
        verdicts = [verdict(asking[n % 2], "a.com") for n in range(20)]
        assert sum(v == pb.VERDICT_ALLOW for v in verdicts) == 7
    finally:
        three[2].start()
    assert verdict(three[2].agent("bereft-1", "bereft"), "a.com") == pb.VERDICT_LIMIT
