"""Leases and watched snapshots of a real process: nothing counted twice, nothing lost."""

import signal
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from stockade.networkpolicy.v1 import decision_service_pb2 as decisions_pb
from stockade.networkpolicy.v1 import lease_service_pb2 as pb
from stockade.networkpolicy.v1 import limit_service_pb2 as limits_pb
from stockade.networkpolicy.v1 import policy_pb2 as policies
from stockade.networkpolicy.v1 import policy_service_pb2 as policy_pb

from support.policy_service import Caller, PolicyService, failure, policy_service

LIMITS = policies.Limits(requests_per_minute=1, requests_per_hour=1000, burst_size=10)


def put(service: PolicyService, agent_type: str, **fields: object) -> Caller:
    policy = policies.Policy(agent_type=agent_type, allowed_domains=["a.com"], **{"limits": LIMITS, **fields})
    service.operator.policies.CreatePolicy(policy_pb.CreatePolicyRequest(policy=policy))
    return service.agent(f"{agent_type}-1", agent_type)


def lend(agent: Caller, tokens: int) -> pb.LeaseQuotaResponse:
    return agent.leases.LeaseQuota(pb.LeaseQuotaRequest(tokens=tokens))


def local(
    ticket: int | None, host: str = "a.com", verdict: str = "VERDICT_ALLOW", **fields: object
) -> pb.LocalDecision:
    request = decisions_pb.RequestToCheck(host=host)
    return pb.LocalDecision(ticket=ticket, request=request, verdict=verdict, rule="allowed_domains:a.com", **fields)


def report(agent: Caller, lease: pb.Lease, *decisions: pb.LocalDecision) -> tuple[int, int]:
    answer = agent.leases.ReportDecisions(pb.ReportDecisionsRequest(lease_id=lease.lease_id, decisions=decisions))
    return answer.recorded, answer.recorded_before


def burst_left(agent: Caller) -> int:
    return agent.limits.GetLimitUsage(limits_pb.GetLimitUsageRequest()).burst_left


def test_a_lease_holds_tokens_reports_use_them_and_the_rest_comes_back(service: PolicyService) -> None:
    agent = put(service, "lending")
    lease = lend(agent, 6).lease
    assert (lease.tokens, burst_left(agent)) == (6, 4)
    outcome = decisions_pb.RequestOutcome(status=200, bytes_received=9)
    assert report(agent, lease, local(0, outcome=outcome), local(1)) == (2, 0)
    assert report(agent, lease, local(1), local(6)) == (0, 2)
    assert agent.leases.ReturnLease(pb.ReturnLeaseRequest(lease_id=lease.lease_id)).returned == 4
    assert agent.leases.ReturnLease(pb.ReturnLeaseRequest(lease_id=lease.lease_id)).returned == 0
    assert burst_left(agent) == 8
    (granted,) = service.entries(id=lease.lease_id)
    assert (granted["action"], granted["metadata"]["tokens"]) == ("LEASE_GRANTED", 6)
    (closed,) = service.entries(intent_id=lease.lease_id)
    assert (closed["action"], closed["metadata"]["returned"], closed["metadata"]["reported"]) == ("LEASE_CLOSED", 4, 2)
    made = [e for e in service.entries(agent="lending-1") if e.get("metadata", {}).get("local")]
    assert [(e["action"], e["metadata"]["lease"].rpartition(".")[2]) for e in made] == [
        ("ALLOWED", "0"),
        ("ALLOWED", "1"),
    ]
    closings = [service.entries(intent_id=entry["id"])[0] for entry in made]
    assert [(e["action"], e.get("status")) for e in closings] == [("OUTCOME", 200), ("OUTCOME_UNKNOWN", None)]


def test_a_lease_is_cut_to_what_there_is_and_then_refused(service: PolicyService) -> None:
    agent = put(service, "greedy")
    assert lend(agent, 1000).lease.tokens == 10
    with pytest.raises(grpc.RpcError) as error:
        lend(agent, 1)
    assert failure(error.value)[:2] == ("RESOURCE_EXHAUSTED", "LEASE_UNAVAILABLE")


def test_refusals_cost_nothing_and_are_counted_by_kind(service: PolicyService) -> None:
    agent = put(service, "refusing")
    lease = lend(agent, 2).lease
    told = [local(None, f"h{n % 40}.com", "VERDICT_DENY") for n in range(100)]
    assert report(agent, lease, *told) == (100, 0)
    entries = [e for e in service.entries(agent="refusing-1") if e["action"] in ("BLOCKED", "CLAIM")]
    assert len(entries) == 33
    assert sum(entry["metadata"]["count"] for entry in entries) == 100


def test_what_the_service_would_not_have_decided_is_a_claim(service: PolicyService) -> None:
    agent = put(service, "lying")
    lease = lend(agent, 2).lease
    report(agent, lease, local(0, "evil.com"))
    (entry,) = service.entries(agent="lying-1", domain="evil.com")
    assert entry["action"] == "CLAIM"


def test_report_mode_lends_nothing(service: PolicyService) -> None:
    agent = put(service, "watching", mode=policies.POLICY_MODE_REPORT)
    with pytest.raises(grpc.RpcError) as error:
        lend(agent, 1)
    assert failure(error.value)[1] == "LEASE_UNAVAILABLE"


def test_another_agents_lease_is_not_there(service: PolicyService) -> None:
    lease = lend(put(service, "owning"), 2).lease
    with pytest.raises(grpc.RpcError) as error:
        report(service.agent("thief-1", "owning"), lease, local(0))
    assert failure(error.value)[:2] == ("NOT_FOUND", "LEASE_NOT_FOUND")


def test_1000_decisions_in_one_report(service: PolicyService) -> None:
    limits = policies.Limits(requests_per_minute=1000, requests_per_hour=10_000, burst_size=1000)
    agent = put(service, "busy", limits=limits)
    lease = lend(agent, 1000).lease
    assert report(agent, lease, *(local(ticket) for ticket in range(1000))) == (1000, 0)


@pytest.fixture
def hasty() -> Iterator[PolicyService]:
    with policy_service(lease_seconds="0.3", snapshot_seconds="1") as running:
        yield running


def test_a_dead_clients_lease_ends_as_unknown_and_spent(hasty: PolicyService) -> None:
    agent = put(hasty, "dying")
    lease = lend(agent, 6).lease
    report(agent, lease, local(0))
    closed = _eventually(hasty, intent_id=lease.lease_id)
    assert (closed["action"], closed["metadata"]["unknown"], closed["metadata"]["reported"]) == (
        "OUTCOME_UNKNOWN",
        5,
        1,
    )
    assert burst_left(agent) == 4
    with pytest.raises(grpc.RpcError) as error:
        report(agent, lease, local(1))
    assert failure(error.value)[:2] == ("FAILED_PRECONDITION", "LEASE_EXPIRED")


def test_what_a_killed_service_had_open_is_closed_when_it_starts_again(hasty: PolicyService) -> None:
    agent = put(hasty, "killed")
    lease = lend(agent, 3).lease
    asked = decisions_pb.CheckRequestRequest(request=decisions_pb.RequestToCheck(host="a.com"))
    decision = agent.decisions.CheckRequest(asked).decision
    hasty.stop(signal.SIGKILL)
    hasty.start()
    for opened in (lease.lease_id, decision.decision_id):
        closed = _eventually(hasty, intent_id=opened)
        assert (closed["action"], closed["reason"]) == ("OUTCOME_UNKNOWN", "SERVICE_STOPPED")


def _eventually(service: PolicyService, **wanted: object) -> dict[str, object]:
    deadline = time.monotonic() + 5
    while not (found := service.entries(**wanted)) and time.monotonic() < deadline:
        time.sleep(0.05)
    (entry,) = found
    return entry


def test_a_watched_policy_comes_signed_at_once_and_after_each_change(service: PolicyService) -> None:
    agent = put(service, "watched")
    stream = agent.policies.WatchPolicies(policy_pb.WatchPoliciesRequest(agent_type="watched"))
    first = next(stream).snapshot
    Ed25519PublicKey.from_public_bytes(first.public_key).verify(first.signature, first.snapshot)
    assert list(policies.PolicySnapshot.FromString(first.snapshot).policy.allowed_domains) == ["a.com"]
    add = policy_pb.AddDomainsRequest(agent_type="watched", domains=["b.com"])
    threading.Timer(0.1, lambda: service.operator.policies.AddDomains(add)).start()
    started = time.monotonic()
    second = policies.PolicySnapshot.FromString(next(stream).snapshot.snapshot)
    assert time.monotonic() - started < 1
    assert (second.policy.version, list(second.policy.allowed_domains)) == (2, ["a.com", "b.com"])
    stream.cancel()


def test_a_watch_is_renewed_before_its_snapshot_expires(hasty: PolicyService) -> None:
    agent = put(hasty, "renewed")
    stream = agent.policies.WatchPolicies(policy_pb.WatchPoliciesRequest(agent_type="renewed"))
    first, second = (policies.PolicySnapshot.FromString(next(stream).snapshot.snapshot) for _ in range(2))
    assert first.create_time.ToNanoseconds() < second.create_time.ToNanoseconds() < first.expire_time.ToNanoseconds()
    stream.cancel()


def test_an_agent_watches_its_own_type_only(service: PolicyService) -> None:
    stream = service.agent("a1", "default").policies.WatchPolicies(
        policy_pb.WatchPoliciesRequest(agent_type="security-scanner")
    )
    with pytest.raises(grpc.RpcError) as error:
        next(stream)
    assert failure(error.value)[1] == "CALLER_NOT_ALLOWED"
