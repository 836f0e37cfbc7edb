"""PolicyService of a real process: changing policies, and asking about them."""

import threading
import time

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from stockade.networkpolicy.v1 import decision_service_pb2 as decisions
from stockade.networkpolicy.v1 import policy_pb2 as policies
from stockade.networkpolicy.v1 import policy_service_pb2 as pb

from support.policy_service import Caller, PolicyService, failure

LIMITS = policies.Limits(requests_per_minute=600, requests_per_hour=6000, burst_size=100)


def message(agent_type: str, *domains: str, **fields: object) -> policies.Policy:
    return policies.Policy(agent_type=agent_type, allowed_domains=domains, **{"limits": LIMITS, **fields})


def created(service: PolicyService, agent_type: str, *domains: str, **fields: object) -> policies.Policy:
    request = pb.CreatePolicyRequest(policy=message(agent_type, *domains, **fields))
    return service.operator.policies.CreatePolicy(request).policy


def verdict(caller: Caller, host: str) -> str:
    request = decisions.CheckRequestRequest(request=decisions.RequestToCheck(host=host))
    return decisions.Verdict.Name(caller.decisions.CheckRequest(request).decision.verdict)


def test_what_stockade_ships_with_is_there(service: PolicyService) -> None:
    names: list[str] = []
    token = ""
    while True:
        page = service.operator.policies.ListPolicies(pb.ListPoliciesRequest(page_size=40, page_token=token))
        names += [policy.agent_type for policy in page.policies]
        token = page.next_page_token
        if not token:
            break
    assert len(names) >= 95
    assert names == sorted(names)
    found = service.auditor.policies.GetPolicy(pb.GetPolicyRequest(agent_type="qe-accessibility-ally")).policy
    assert (found.agent_type, found.changed_by) == ("a11y-ally", "seed")


def test_an_unknown_type_gets_default(service: PolicyService) -> None:
    found = service.operator.policies.GetPolicy(pb.GetPolicyRequest(agent_type="stranger")).policy
    assert found.agent_type == "default"
    with pytest.raises(grpc.RpcError) as error:
        service.operator.policies.GetPolicy(pb.GetPolicyRequest(agent_type="stranger", exact=True))
    assert failure(error.value)[:2] == ("NOT_FOUND", "POLICY_NOT_FOUND")


def test_a_policy_is_stored_in_canonical_form_and_closed_unless_told(service: PolicyService) -> None:
    stored = created(service, "qe-canonical", "B.com.", "*.A.com", "b.com")
    assert stored.agent_type == "canonical"
    assert list(stored.allowed_domains) == ["*.a.com", "b.com"]
    assert list(stored.allowed_ports) == [80, 443]
    assert stored.block_unknown_domains
    assert stored.audit_logging
    assert (stored.version, stored.etag, stored.changed_by) == (1, "W/1", "operator:ana")


def test_every_mistake_comes_at_once_with_its_mend(service: PolicyService) -> None:
    bad = message("mistaken", "*", "*.co.uk", "1.2.3.4", limits=policies.Limits(requests_per_minute=1))
    with pytest.raises(grpc.RpcError) as error:
        service.operator.policies.CreatePolicy(pb.CreatePolicyRequest(policy=bad))
    code, reason, violations = failure(error.value)
    assert (code, reason, len(violations)) == ("INVALID_ARGUMENT", "POLICY_INVALID", 5)
    assert "block_unknown_domains: false" in violations[0]


def test_the_same_request_twice_is_one(service: PolicyService) -> None:
    request = pb.CreatePolicyRequest(policy=message("twice", "a.com"), request_id="4d1f0c4e")
    first = service.operator.policies.CreatePolicy(request).policy
    assert service.operator.policies.CreatePolicy(request).policy == first
    request.policy.allowed_domains.append("b.com")
    with pytest.raises(grpc.RpcError) as error:
        service.operator.policies.CreatePolicy(request)
    assert failure(error.value)[1] == "REQUEST_ID_REUSED"


def test_an_update_changes_what_its_mask_names(service: PolicyService) -> None:
    before = created(service, "masked", "a.com", audit_logging=False)
    wanted = message("masked", "b.com", limits=policies.Limits(burst_size=7))
    mask = FieldMask(paths=["limits.burst_size", "mode"])
    wanted.mode = policies.POLICY_MODE_REPORT
    after = service.operator.policies.UpdatePolicy(pb.UpdatePolicyRequest(policy=wanted, update_mask=mask)).policy
    assert (after.limits.burst_size, after.limits.requests_per_minute) == (7, before.limits.requests_per_minute)
    assert (after.mode, list(after.allowed_domains), after.audit_logging) == (
        policies.POLICY_MODE_REPORT,
        ["a.com"],
        False,
    )
    with pytest.raises(grpc.RpcError) as error:
        service.operator.policies.UpdatePolicy(
            pb.UpdatePolicyRequest(policy=wanted, update_mask=FieldMask(paths=["limits.bust_size"]))
        )
    assert failure(error.value)[1] == "INVALID_REQUEST"


def test_an_etag_that_lost_the_race(service: PolicyService) -> None:
    first = created(service, "raced", "a.com")
    add = pb.AddDomainsRequest(agent_type="raced", domains=["b.com"], etag=first.etag)
    service.operator.policies.AddDomains(add)
    with pytest.raises(grpc.RpcError) as error:
        service.operator.policies.AddDomains(add)
    assert failure(error.value)[:2] == ("ABORTED", "ETAG_MISMATCH")


def test_domains_one_by_one_from_many_hands(service: PolicyService) -> None:
    created(service, "many-hands")
    operator = service.operator.policies

    def add(number: int) -> None:
        operator.AddDomains(pb.AddDomainsRequest(agent_type="many-hands", domains=[f"H{number}.com", "same.com"]))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shown: list[str] = []
    token = ""
    while True:
        page = operator.ListDomains(pb.ListDomainsRequest(agent_type="many-hands", page_size=8, page_token=token))
        shown += page.domains
        token = page.next_page_token
        if not token:
            break
    assert shown == sorted([f"h{number}.com" for number in range(20)] + ["same.com"])
    gone = pb.RemoveDomainsRequest(agent_type="many-hands", domains=["SAME.com", "never.com", "h0.com"])
    assert len(operator.RemoveDomains(gone).policy.allowed_domains) == 19


def test_versions_tell_who_did_what(service: PolicyService) -> None:
    created(service, "versioned", "a.com")
    operator = service.operator.policies
    operator.AddDomains(pb.AddDomainsRequest(agent_type="versioned", domains=["b.com"]))
    operator.DeletePolicy(pb.DeletePolicyRequest(agent_type="versioned"))
    first = operator.ListPolicyVersions(pb.ListPolicyVersionsRequest(agent_type="versioned", page_size=2))
    rest = operator.ListPolicyVersions(
        pb.ListPolicyVersionsRequest(agent_type="versioned", page_token=first.next_page_token)
    )
    versions = [*first.versions, *rest.versions]
    changes = [policies.PolicyChange.Name(v.change).removeprefix("POLICY_CHANGE_") for v in versions]
    assert changes == ["DELETED", "UPDATED", "CREATED"]
    assert {v.policy.changed_by for v in versions} == {"operator:ana"}
    with pytest.raises(grpc.RpcError) as error:
        operator.ListPolicyVersions(pb.ListPolicyVersionsRequest(agent_type="never-was"))
    assert failure(error.value)[1] == "POLICY_NOT_FOUND"


def test_default_cannot_be_deleted(service: PolicyService) -> None:
    with pytest.raises(grpc.RpcError) as error:
        service.operator.policies.DeletePolicy(pb.DeletePolicyRequest(agent_type="default"))
    assert failure(error.value)[:2] == ("FAILED_PRECONDITION", "POLICY_REQUIRED")


def test_a_page_token_of_another_list(service: PolicyService) -> None:
    token = service.operator.policies.ListPolicies(pb.ListPoliciesRequest(page_size=1)).next_page_token
    for wrong in (token, "nonsense"):
        with pytest.raises(grpc.RpcError) as error:
            service.operator.policies.ListDomains(pb.ListDomainsRequest(agent_type="default", page_token=wrong))
        assert failure(error.value)[1] == "PAGE_TOKEN_INVALID"


def test_a_change_is_in_force_within_a_second_and_recorded_before(service: PolicyService) -> None:
    created(service, "changing", "a.com")
    agent = service.agent("changing-1", "changing")
    assert verdict(agent, "b.com") == "VERDICT_DENY"
    started = time.monotonic()
    service.operator.policies.AddDomains(pb.AddDomainsRequest(agent_type="changing", domains=["b.com"]))
    assert verdict(agent, "b.com") == "VERDICT_ALLOW"
    assert time.monotonic() - started < 1
    changed = service.entries(action="POLICY_CHANGED", resource="policies/changing")
    assert [entry["policy_version"] for entry in changed] == [1, 2]
    assert {entry["principal"] for entry in changed} == {"ana"}
    intents = {entry["id"]: entry for entry in service.entries(action="INTENT", resource="policies/changing")}
    assert [entry["intent_id"] for entry in changed] == list(intents)
    assert intents[changed[1]["intent_id"]]["metadata"] == {"added": "b.com"}


def test_a_file_is_applied_whole_or_not_at_all(service: PolicyService) -> None:
    limits = "requests_per_minute: 1, requests_per_hour: 2, burst_size: 3"
    names = {"applied-1": "[a.com]", "applied-2": "[]", "applied-3": "['*']"}
    lines = [f"  {name}: {{allowed_domains: {domains}, {limits}}}\n" for name, domains in names.items()]
    good, bad = "".join(["policies:\n", *lines[:2]]), "".join(["policies:\n", *lines])
    operator = service.operator.policies
    assert [m.line for m in operator.LintPolicies(pb.LintPoliciesRequest(text=bad)).mistakes] == [4]
    with pytest.raises(grpc.RpcError) as error:
        operator.ApplyPolicies(pb.ApplyPoliciesRequest(text=bad))
    assert "line 4" in failure(error.value)[2][0]
    assert operator.GetPolicy(pb.GetPolicyRequest(agent_type="applied-1")).policy.agent_type == "default"
    assert list(operator.ApplyPolicies(pb.ApplyPoliciesRequest(text=good)).created) == ["applied-1", "applied-2"]
    again = operator.ApplyPolicies(pb.ApplyPoliciesRequest(text=good.replace("a.com", "b.com")))
    assert (list(again.updated), list(again.unchanged)) == (["applied-1"], ["applied-2"])


def test_testing_says_rule_and_nearest_rule_and_counts_nothing(service: PolicyService) -> None:
    created(
        service,
        "tested",
        "*.npmjs.org",
        limits=policies.Limits(requests_per_minute=1, requests_per_hour=1, burst_size=1),
    )
    agent = service.agent("tested-1", "tested").policies
    for _ in range(3):
        allowed = agent.TestPolicy(pb.TestPolicyRequest(agent_type="tested", host="Packages.npmjs.org."))
        assert (allowed.allowed, allowed.rule) == (True, "allowed_domains:*.npmjs.org")
    refused = agent.TestPolicy(pb.TestPolicyRequest(agent_type="tested", host="npmjs.org"))
    assert (refused.allowed, refused.rule, refused.nearest_rule) == (False, "block_unknown_domains", "*.npmjs.org")
    draft = message("tested", "npmjs.org")
    assert agent.TestPolicy(pb.TestPolicyRequest(agent_type="tested", host="npmjs.org", policy=draft)).allowed


def test_a_difference_between_versions(service: PolicyService) -> None:
    created(service, "differs", "*.a.com")
    operator = service.operator.policies
    operator.AddDomains(pb.AddDomainsRequest(agent_type="differs", domains=["b.com"]))
    first = pb.PolicyOperand(version=pb.PolicyVersionName(agent_type="differs", version=1))
    now = pb.PolicyOperand(agent_type="differs")
    draft = pb.PolicyOperand(policy=message("differs", "*.x.a.com", "b.com", allowed_ports=[443]))
    assert [h.pattern for h in operator.DiffPolicies(pb.DiffPoliciesRequest(before=first, after=now)).added] == [
        "b.com"
    ]
    found = operator.DiffPolicies(pb.DiffPoliciesRequest(before=now, after=draft))
    (removed,) = found.removed
    assert (removed.pattern, list(getattr(removed, "except"))) == ("*.a.com", ["*.x.a.com"])
    assert [(f.field, f.tightens) for f in found.fields] == [("allowed_ports", True)]


def test_a_report_run_proposes_what_it_needs(service: PolicyService) -> None:
    created(service, "reporting", "a.com", mode=policies.POLICY_MODE_REPORT)
    agent = service.agent("reporting-1", "reporting")
    for host in ("b.org", "b.org", "c.org", "10.0.0.1", "intranet"):
        verdict(agent, host)
    proposed = service.operator.policies.ProposePolicy(pb.ProposePolicyRequest(agent_type="reporting"))
    assert list(proposed.policy.allowed_domains) == ["a.com", "b.org", "c.org"]
    assert [(r.host, r.count) for r in proposed.refused if not r.left_out] == [
        ("b.org", 2),
        ("c.org", 1),
    ]
    proposed.policy.mode = policies.POLICY_MODE_ENFORCE
    service.operator.policies.UpdatePolicy(pb.UpdatePolicyRequest(policy=proposed.policy))
    assert verdict(agent, "b.org") == "VERDICT_ALLOW"
    assert verdict(agent, "evil.com") == "VERDICT_DENY"


def test_100_000_domains(service: PolicyService) -> None:
    stored = created(service, "crowded", *(f"h{number}.com" for number in range(100_000)))
    assert len(stored.allowed_domains) == 100_000
    agent = service.agent("crowded-1", "crowded")
    assert verdict(agent, "h99999.com") == "VERDICT_ALLOW"
    assert verdict(agent, "h100000.com") == "VERDICT_DENY"
    with pytest.raises(grpc.RpcError):
        service.operator.policies.AddDomains(pb.AddDomainsRequest(agent_type="crowded", domains=["one.more.com"]))


CHANGES = {
    "CreatePolicy": pb.CreatePolicyRequest(policy=message("x", "a.com")),
    "UpdatePolicy": pb.UpdatePolicyRequest(policy=message("default", "a.com")),
    "DeletePolicy": pb.DeletePolicyRequest(agent_type="test-writer"),
    "AddDomains": pb.AddDomainsRequest(agent_type="default", domains=["a.com"]),
    "RemoveDomains": pb.RemoveDomainsRequest(agent_type="default", domains=["a.com"]),
    "ApplyPolicies": pb.ApplyPoliciesRequest(text="policies: {}"),
}


@pytest.mark.parametrize("rpc", CHANGES)
@pytest.mark.parametrize("who", ["agent", "auditor", "service"])
def test_only_operators_change_policies(service: PolicyService, rpc: str, who: str) -> None:
    caller = service.agent("a1", "default") if who == "agent" else getattr(service, who)
    with pytest.raises(grpc.RpcError) as error:
        getattr(caller.policies, rpc)(CHANGES[rpc])
    assert failure(error.value)[:2] == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")


def test_an_agent_reads_its_own_type_only(service: PolicyService) -> None:
    agent = service.agent("a1", "qe-test-generator").policies
    assert agent.GetPolicy(pb.GetPolicyRequest(agent_type="test-generator")).policy.agent_type == "test-generator"
    with pytest.raises(grpc.RpcError) as error:
        agent.GetPolicy(pb.GetPolicyRequest(agent_type="security-scanner"))
    assert failure(error.value)[1] == "CALLER_NOT_ALLOWED"
