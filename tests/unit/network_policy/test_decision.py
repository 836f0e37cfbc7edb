"""What a policy says of a request, and by which rule."""

import pytest
from stockade_network_policy.domain.decision import decide, nearest
from stockade_network_policy.domain.policy import Limits, Mode, Policy, Rules, plain_type, tightens

from support.decision_cases import CASES, Case, policy, request


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_decide(case: Case) -> None:
    ruling = decide(Rules(case.policy), case.request)
    assert (ruling.allowed, ruling.rule, ruling.reported) == (case.allowed, case.rule, case.reported)
    assert ruling.reason


def test_the_reason_names_host_and_type() -> None:
    ruling = decide(Rules(policy()), request("Evil.com"))
    assert ruling.reason == "evil.com is not among the domains of tester"
    assert ruling.host == "evil.com"


NEAREST = {
    "the apex of a wildcard": ("npmjs.org", "*.npmjs.org"),
    "another host of the same name": ("www.example.com", "api.example.com"),
    "only the suffix in common": ("other.com", ""),
    "nothing in common": ("other.net", ""),
}


@pytest.mark.parametrize(("host", "expected"), NEAREST.values(), ids=NEAREST)
def test_nearest_rule(host: str, expected: str) -> None:
    assert nearest(Rules(policy()), host) == expected


TIGHTENS = {
    "nothing changed": ({}, False),
    "a domain more": ({"allowed_domains": ("*.npmjs.org", "api.example.com", "x.com")}, False),
    "a domain less": ({"allowed_domains": ("*.npmjs.org",)}, True),
    "a wildcard made narrower": ({"allowed_domains": ("*.packages.npmjs.org", "api.example.com")}, True),
    "a host swallowed by a wildcard": ({"allowed_domains": ("*.npmjs.org", "*.example.com")}, False),
    "a port less": ({"allowed_ports": (443,)}, True),
    "a port more": ({"allowed_ports": (80, 443, 8443)}, False),
    "unknown may pass now": ({"block_unknown_domains": False}, False),
    "only limits": ({"limits": Limits(requests_per_minute=1, requests_per_hour=1, burst_size=1)}, False),
}


@pytest.mark.parametrize(("fields", "expected"), TIGHTENS.values(), ids=TIGHTENS)
def test_what_takes_something_away(fields: dict[str, object], expected: bool) -> None:
    assert tightens(policy(), policy(**fields)) is expected


BEFORE_IT_WAS_CLOSED = {
    "unknown were let pass": policy(block_unknown_domains=False),
    "it only reported": policy(mode=Mode.REPORT),
}


@pytest.mark.parametrize("before", BEFORE_IT_WAS_CLOSED.values(), ids=BEFORE_IT_WAS_CLOSED)
def test_closing_takes_something_away(before: Policy) -> None:
    assert tightens(before, policy())


NAMES = {
    "as it is": ("test-generator", "test-generator"),
    "with the prefix": ("qe-test-generator", "test-generator"),
    "an alias": ("accessibility-ally", "a11y-ally"),
    "an alias with the prefix": ("qe-accessibility-ally", "a11y-ally"),
    "unknown": ("stranger", "stranger"),
}


@pytest.mark.parametrize(("name", "expected"), NAMES.values(), ids=NAMES)
def test_names_of_agent_types(name: str, expected: str) -> None:
    assert plain_type(name, {"accessibility-ally": "a11y-ally"}) == expected
