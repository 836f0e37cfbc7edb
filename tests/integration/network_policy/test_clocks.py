"""A replica whose clock is five minutes off counts and orders as the others do: Redis and PostgreSQL tell the time."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import policy_pb2 as policies
from stockade.networkpolicy.v1 import policy_service_pb2 as policy_pb
from stockade_network_policy.adapters.postgres import SCHEMA

from support.policy_service import PolicyService, eventually, policy_service
from support.postgres import PostgresServer
from support.redis_server import redis_server

AHEAD_S = 300
SHIFTED = f"""
import time
time.time = lambda real=time.time: real() + {AHEAD_S}
time.time_ns = lambda real=time.time_ns: real() + {AHEAD_S} * 10**9
"""
BURST = 10


@pytest.fixture
def two(postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[PolicyService]]:
    """One that is right, and one that is ahead."""
    (tmp_path / "sitecustomize.py").write_text(SHIFTED)
    with ExitStack() as exits:
        redis = exits.enter_context(redis_server(Path(exits.enter_context(tempfile.TemporaryDirectory()))))
        url = exits.enter_context(postgres.database())
        SCHEMA.migrate(url)
        settings = {"store": url, "limits": "redis", "redis_url": redis.url}
        right = exits.enter_context(policy_service(**settings))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        ahead = exits.enter_context(policy_service(**settings))
        yield [right, ahead]


def test_what_is_counted_and_which_edit_is_the_last(two: list[PolicyService]) -> None:
    right, ahead = two
    limits = policies.Limits(requests_per_minute=1, requests_per_hour=1000, burst_size=BURST)
    policy = policies.Policy(agent_type="timed", allowed_domains=["a.com"], limits=limits)
    first = ahead.operator.policies.CreatePolicy(policy_pb.CreatePolicyRequest(policy=policy)).policy
    last = right.operator.policies.AddDomains(policy_pb.AddDomainsRequest(agent_type="timed", domains=["b.com"])).policy
    assert first.update_time.seconds - last.update_time.seconds > AHEAD_S - 60, "the clock is not off"
    agents = [service.agent("t1", "timed") for service in two]
    asked = pb.CheckRequestRequest(request=pb.RequestToCheck(host="b.com"))

    def rule(number: int) -> str:
        return str(agents[number % 2].decisions.CheckRequest(asked).decision.rule)

    eventually(lambda: rule(1) not in ("block_unknown_domains", "limits_unavailable"))
    passed, number = 1, 0
    while (found := rule(number)) != "requests_per_minute":
        passed += found != "limits_unavailable"
        number += 1
    assert {rule(n) for n in range(4)} <= {"requests_per_minute", "limits_unavailable"}
    assert passed == BURST
