"""DecisionService and LimitService of a real process: one decision for every way of asking, and its record."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import limit_service_pb2 as limits_pb
from stockade.networkpolicy.v1 import policy_pb2 as policies
from stockade.networkpolicy.v1 import policy_service_pb2 as policy_pb
from stockade_network_policy.domain.policy import Policy

from support.decision_cases import CASES, Case
from support.policy_service import Caller, PolicyService, failure, policy_service


def put(service: PolicyService, agent_type: str, **limits: int) -> None:
    wanted = {"requests_per_minute": 60, "requests_per_hour": 1000, "burst_size": 10, **limits}
    policy = policies.Policy(agent_type=agent_type, allowed_domains=["a.com"], limits=policies.Limits(**wanted))
    service.operator.policies.CreatePolicy(policy_pb.CreatePolicyRequest(policy=policy))


def asking(**fields: object) -> pb.CheckRequestRequest:
    return pb.CheckRequestRequest(request=pb.RequestToCheck(**fields))


def check(caller: Caller, host: str = "a.com", **fields: object) -> pb.Decision:
    return caller.decisions.CheckRequest(asking(host=host, **fields)).decision


def put_case(service: PolicyService, agent_type: str, policy: Policy) -> None:
    message = policies.Policy(
        agent_type=agent_type,
        allowed_domains=policy.allowed_domains,
        allowed_ports=policy.allowed_ports,
        limits=policies.Limits(requests_per_minute=60_000, requests_per_hour=60_000, burst_size=60_000),
        block_unknown_domains=policy.block_unknown_domains,
        mode=f"POLICY_MODE_{policy.mode}",
    )
    service.operator.policies.CreatePolicy(policy_pb.CreatePolicyRequest(policy=message))


ASKED = {
    name: case
    for name, case in CASES.items()
    if case.request.host and not case.request.malformed and case.request.narrowing is None  # the gate's own to ask
}


@pytest.mark.parametrize("number", range(len(ASKED)), ids=ASKED)
def test_the_table_of_decisions(service: PolicyService, number: int) -> None:
    case: Case = list(ASKED.values())[number]
    agent_type = f"case-{number}"
    put_case(service, agent_type, case.policy)
    decision = check(service.agent("a1", agent_type), case.request.host, port=case.request.port)
    allowed = decision.verdict == pb.VERDICT_ALLOW
    assert (allowed, decision.rule, decision.reported) == (case.allowed, case.rule, case.reported)


def test_a_decision_is_recorded_before_it_is_answered(service: PolicyService) -> None:
    agent = service.agent("recorded-1", "recorded", "sb-recorded")
    put(service, "recorded")
    decision = check(agent, "A.com.", path="/x?token=secret", method="POST")
    (entry,) = service.entries(id=decision.decision_id)
    assert {k: entry[k] for k in ("action", "agent", "agent_type", "sandbox", "domain", "rule", "method", "path")} == {
        "action": "ALLOWED",
        "agent": "recorded-1",
        "agent_type": "recorded",
        "sandbox": "sb-recorded",
        "domain": "a.com",
        "rule": "allowed_domains:a.com",
        "method": "POST",
        "path": "/x",
    }
    assert (entry["policy_version"], entry["metadata"]["host"]) == (1, "A.com.")
    refused = check(agent, "b.com")
    (entry,) = service.entries(id=refused.decision_id)
    assert (entry["action"], entry["reason"]) == ("BLOCKED", "b.com is not among the domains of recorded")


def test_an_unknown_type_is_judged_by_default_and_told(service: PolicyService) -> None:
    decision = check(service.agent("s-1", "stranger"), "api.anthropic.com")
    assert (decision.verdict, decision.policy) == (pb.VERDICT_ALLOW, "default")
    (entry,) = service.entries(id=decision.decision_id)
    assert (entry["agent_type"], entry["metadata"]["policy"]) == ("stranger", "default")


def test_the_eleventh_of_a_burst_of_ten(service: PolicyService) -> None:
    put(service, "bursty", requests_per_minute=1)
    agent = service.agent("bursty-1", "bursty")
    requests = [pb.RequestToCheck(host="a.com")] * 25
    batch = agent.decisions.BatchCheckRequests(pb.BatchCheckRequestsRequest(requests=requests)).decisions
    assert [d.verdict for d in batch] == [pb.VERDICT_ALLOW] * 10 + [pb.VERDICT_LIMIT] * 15
    limited = batch[-1]
    assert limited.rule == "requests_per_minute"
    assert 59 < limited.retry_after.ToNanoseconds() / 1e9 <= 60
    (entry,) = service.entries(id=limited.decision_id)
    assert entry["action"] == "RATE_LIMITED"
    assert check(service.agent("bursty-2", "bursty")).verdict == pb.VERDICT_ALLOW


def test_a_refused_host_costs_no_tokens(service: PolicyService) -> None:
    put(service, "frugal", requests_per_minute=1)
    agent = service.agent("frugal-1", "frugal")
    for _ in range(20):
        assert check(agent, "b.com").verdict == pb.VERDICT_DENY
    usage = agent.limits.GetLimitUsage(limits_pb.GetLimitUsageRequest())
    assert (usage.agent, usage.policy, usage.burst_left, usage.requests_last_hour) == ("frugal-1", "frugal", 10, 0)


def test_a_change_of_limits_keeps_what_was_counted(service: PolicyService) -> None:
    put(service, "recounted", requests_per_minute=1)
    agent = service.agent("recounted-1", "recounted")
    for _ in range(10):
        check(agent)
    roomier = policies.Policy(agent_type="recounted", limits=policies.Limits(burst_size=12))
    request = policy_pb.UpdatePolicyRequest(policy=roomier)
    request.update_mask.paths.append("limits.burst_size")
    service.operator.policies.UpdatePolicy(request)
    assert [check(agent).verdict for _ in range(3)] == [pb.VERDICT_ALLOW, pb.VERDICT_ALLOW, pb.VERDICT_LIMIT]
    shown = service.operator.limits.GetLimitUsage(limits_pb.GetLimitUsageRequest(agent="recounted-1"))
    assert (shown.policy, shown.requests_last_hour, shown.limits.burst_size) == ("recounted", 12, 12)


def test_a_stream_is_answered_in_order(service: PolicyService) -> None:
    put(service, "streaming", burst_size=3, requests_per_minute=1)
    hosts = ["a.com", "b.com", "a.com", "a.com", "a.com"]
    requests = (pb.StreamCheckRequestsRequest(request=pb.RequestToCheck(host=host)) for host in hosts)
    answers = service.agent("streaming-1", "streaming").decisions.StreamCheckRequests(requests)
    verdicts = [pb.Verdict.Name(answer.decision.verdict).removeprefix("VERDICT_") for answer in answers]
    assert verdicts == ["ALLOW", "DENY", "ALLOW", "ALLOW", "LIMIT"]


def test_an_agent_that_asks_for_refusals_alone_waits_and_no_other_does(service: PolicyService) -> None:
    """Refusals cost no token and are recorded each: at full speed one agent would fill the record."""
    put(service, "flooding", burst_size=2, requests_per_minute=1)
    requests = (pb.StreamCheckRequestsRequest(request=pb.RequestToCheck(host="b.com")) for _ in range(1200))
    began = time.monotonic()
    flood = service.agent("flooding-1", "flooding", "sb-flooding").decisions.StreamCheckRequests(requests)
    other = service.agent("flooding-2", "flooding", "sb-beside")
    for number, _answer in enumerate(flood):
        if number == 1100:
            asked = time.monotonic()
            assert check(other).verdict == pb.VERDICT_ALLOW
            assert time.monotonic() - asked < 0.5
    assert time.monotonic() - began > 1.8


def test_an_outcome_closes_its_decision_once(service: PolicyService) -> None:
    put(service, "closing")
    agent = service.agent("closing-1", "closing")
    decision = check(agent)
    outcome = pb.RequestOutcome(status=200, bytes_sent=10, bytes_received=2000, details="via_upstream")
    record = pb.RecordRequestRequest(decision_id=decision.decision_id, outcome=outcome)
    assert agent.decisions.RecordRequest(record).recorded
    record.outcome.status = 500
    assert not agent.decisions.RecordRequest(record).recorded
    (entry,) = service.entries(intent_id=decision.decision_id)
    assert (entry["action"], entry["status"], entry["bytes_received"]) == ("OUTCOME", 200, 2000)
    shown = agent.decisions.GetDecision(pb.GetDecisionRequest(decision_id=decision.decision_id)).record
    assert (shown.outcome.status, shown.decision.rule) == (200, "allowed_domains:a.com")
    usage = agent.limits.GetLimitUsage(limits_pb.GetLimitUsageRequest())
    assert usage.bytes_last_hour == 2010


def test_outcomes_in_a_batch_are_told_apart(service: PolicyService) -> None:
    put(service, "batching")
    agent = service.agent("batching-1", "batching")
    mine, theirs = check(agent), check(service.agent("batching-2", "batching"))
    ids = [mine.decision_id, mine.decision_id, theirs.decision_id, "none"]
    records = [pb.RecordRequestRequest(decision_id=i, outcome=pb.RequestOutcome(status=200)) for i in ids]
    results = agent.decisions.BatchRecordRequests(pb.BatchRecordRequestsRequest(records=records)).results
    assert [pb.RecordResult.Name(r).removeprefix("RECORD_RESULT_") for r in results] == [
        "RECORDED", "CLOSED_BEFORE", "NOT_FOUND", "NOT_FOUND",
    ]  # fmt: skip


def test_how_the_gates_requests_ended_is_not_the_agents_to_say(service: PolicyService) -> None:
    put(service, "gated")
    asked = external_auth_pb2.CheckRequest()
    asked.attributes.context_extensions.update({"stockade-agent": "gated-1", "stockade-agent-type": "gated"})
    asked.attributes.request.http.method, asked.attributes.request.http.host = "GET", "a.com"
    with grpc.insecure_channel(f"unix:{service.run_dir}/services/envoy.sock") as channel:
        answer = external_auth_pb2_grpc.AuthorizationStub(channel).Check(asked)
    record = pb.RecordRequestRequest(
        decision_id=answer.dynamic_metadata["decision"], outcome=pb.RequestOutcome(status=200, bytes_sent=1)
    )
    agent = service.agent("gated-1", "gated")
    with pytest.raises(grpc.RpcError) as error:
        agent.decisions.RecordRequest(record)
    assert failure(error.value)[:2] == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    batch = pb.BatchRecordRequestsRequest(records=[record])
    assert agent.decisions.BatchRecordRequests(batch).results == [pb.RECORD_RESULT_REFUSED]
    assert not service.entries(intent_id=record.decision_id)
    assert service.service.decisions.RecordRequest(record).recorded


def test_the_latest_refusals_of_a_sandbox(service: PolicyService) -> None:
    put(service, "refused")
    agent = service.agent("refused-1", "refused", "sb-refused")
    for host in ("b.com", "a.com", "c.com"):
        check(agent, host)
    shown = agent.decisions.ListDecisions(pb.ListDecisionsRequest()).records
    assert [record.request.host for record in shown] == ["c.com", "b.com"]
    assert all(record.decision.reason for record in shown)


NOT_ONESELF = {
    "another agent's check": ("CheckRequest", asking(agent="other", host="a.com")),
    "another type's policy": ("CheckRequest", asking(agent_type="security-scanner", host="a.com")),
    "another sandbox's check": ("CheckRequest", asking(sandbox="sb-other", host="a.com")),
    "another sandbox's refusals": ("ListDecisions", pb.ListDecisionsRequest(sandbox="sb-other")),
}


@pytest.mark.parametrize(("rpc", "request_"), NOT_ONESELF.values(), ids=NOT_ONESELF)
def test_an_agent_acts_for_itself_only(service: PolicyService, rpc: str, request_: object) -> None:
    with pytest.raises(grpc.RpcError) as error:
        getattr(service.agent("self-1", "default").decisions, rpc)(request_)
    assert failure(error.value)[:2] == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")


def test_another_agents_decision_and_usage_stay_unseen(service: PolicyService) -> None:
    decision = check(service.agent("seen-1", "default"), "api.anthropic.com")
    other = service.agent("seen-2", "default")
    with pytest.raises(grpc.RpcError) as error:
        other.decisions.GetDecision(pb.GetDecisionRequest(decision_id=decision.decision_id))
    assert failure(error.value)[:2] == ("NOT_FOUND", "DECISION_NOT_FOUND")
    with pytest.raises(grpc.RpcError) as error:
        other.limits.GetLimitUsage(limits_pb.GetLimitUsageRequest(agent="seen-1"))
    assert failure(error.value)[1] == "CALLER_NOT_ALLOWED"


def test_a_service_asks_for_the_agent_it_names(service: PolicyService) -> None:
    decision = check(service.service, "api.anthropic.com", agent="named-1", agent_type="default")
    (entry,) = service.entries(id=decision.decision_id)
    assert (entry["principal_kind"], entry["agent"]) == ("service", "named-1")
    with pytest.raises(grpc.RpcError) as error:
        check(service.service, "api.anthropic.com")
    assert failure(error.value)[1] == "INVALID_REQUEST"


def test_an_auditor_reads_and_decides_nothing(service: PolicyService) -> None:
    with pytest.raises(grpc.RpcError) as error:
        check(service.auditor, agent="a1")
    assert failure(error.value)[:2] == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")


@pytest.fixture
def hasty() -> Iterator[PolicyService]:
    with policy_service(outcome_seconds="0.4") as running:
        yield running


def test_a_decision_whose_outcome_never_came_is_closed_as_unknown(hasty: PolicyService) -> None:
    agent = hasty.agent("silent-1", "default")
    decision = check(agent, "api.anthropic.com")
    deadline = time.monotonic() + 5
    while not (closing := hasty.entries(intent_id=decision.decision_id)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [entry["action"] for entry in closing] == ["OUTCOME_UNKNOWN"]
    record = pb.RecordRequestRequest(decision_id=decision.decision_id, outcome=pb.RequestOutcome(status=200))
    assert not agent.decisions.RecordRequest(record).recorded


@pytest.mark.parametrize("batches", [2, pytest.param(10, marks=pytest.mark.long)])
def test_thousands_of_mixed_requests_each_have_a_decision_and_one_end(hasty: PolicyService, batches: int) -> None:
    """Half of the outcomes are told while the others are being given up: each decision ends once."""
    mixed = f"mixed-{batches}"
    put(hasty, mixed, requests_per_minute=1, burst_size=300 * batches)
    hosts = ["a.com", "b.com", "A.com.", "10.0.0.1", "0x7f.1"]
    batch = pb.BatchCheckRequestsRequest(requests=[pb.RequestToCheck(host=hosts[n % 5]) for n in range(1000)])
    answered: set[str] = set()
    for number in range(batches):
        agent = hasty.agent(mixed, mixed, f"sb-{mixed}-{number}")  # one sandbox alone would be held back
        decisions = patiently(agent.decisions.BatchCheckRequests, batch).decisions
        answered |= {decision.decision_id for decision in decisions}
        allowed = [decision.decision_id for decision in decisions if decision.verdict == pb.VERDICT_ALLOW]
        told = [pb.RecordRequestRequest(decision_id=i, outcome=pb.RequestOutcome(status=200)) for i in allowed[::2]]
        if told:
            patiently(agent.decisions.BatchRecordRequests, pb.BatchRecordRequestsRequest(records=told))
    assert len(answered) == 1000 * batches
    deadline = time.monotonic() + 20
    while True:
        entries = hasty.entries(agent=mixed)
        made = {e["id"]: e["action"] for e in entries if e["action"] in ("ALLOWED", "BLOCKED", "RATE_LIMITED")}
        ends = Counter(e["intent_id"] for e in entries if e["action"] in ("OUTCOME", "OUTCOME_UNKNOWN"))
        opened = {i: 1 for i, action in made.items() if action == "ALLOWED"}
        if len(ends) >= len(opened) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert answered <= made.keys()
    assert dict(ends) == opened


def patiently(call: Any, request: Any) -> Any:
    """Calls again while a busy disk cannot record: nothing is answered that is not durable."""
    while True:
        try:
            return call(request)
        except grpc.RpcError as error:
            if failure(error)[1] != "RECORD_UNAVAILABLE":
                raise
            time.sleep(0.2)


def test_edits_and_the_record_survive_kill_9(hasty: PolicyService) -> None:
    put(hasty, "survivor")
    decision = check(hasty.agent("survivor-1", "survivor"))
    hasty.stop(signal.SIGKILL)
    hasty.start()
    found = hasty.operator.policies.GetPolicy(policy_pb.GetPolicyRequest(agent_type="survivor")).policy
    assert (found.agent_type, found.changed_by) == ("survivor", "operator:ana")
    assert hasty.entries(id=decision.decision_id)
