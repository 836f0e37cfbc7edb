"""What a change of policy adds and removes, exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_network_policy.domain.difference import HostSet, difference
from stockade_network_policy.domain.hostname import DomainSet
from stockade_network_policy.domain.policy import Limits, Mode

from support.decision_cases import policy

HOSTS = {
    "nothing": (("a.com",), ("a.com",), [], []),
    "a host more": (("a.com",), ("a.com", "b.com"), [HostSet("b.com")], []),
    "a host less": (("a.com", "b.com"), ("a.com",), [], [HostSet("b.com")]),
    "a host swallowed by a wildcard": (("x.a.com",), ("*.a.com",), [HostSet("*.a.com", ("x.a.com",))], []),
    "a wildcard made narrower": (("*.a.com",), ("*.x.a.com",), [], [HostSet("*.a.com", ("*.x.a.com",))]),
    "a host within a wildcard goes": (("*.a.com", "x.a.com"), ("*.a.com",), [], []),
    "a wildcard is not its apex": (("*.a.com",), ("a.com",), [HostSet("a.com")], [HostSet("*.a.com")]),
    "only the widest is told": ((), ("*.a.com", "*.x.a.com", "y.a.com"), [HostSet("*.a.com")], []),
}


@pytest.mark.parametrize(("before", "after", "added", "removed"), HOSTS.values(), ids=HOSTS)
def test_hosts(before: tuple[str, ...], after: tuple[str, ...], added: list[HostSet], removed: list[HostSet]) -> None:
    found = difference(policy(allowed_domains=before), policy(allowed_domains=after))
    assert (list(found.added), list(found.removed)) == (added, removed)


FIELDS = {
    "ports closed": ({"allowed_ports": (443,)}, "allowed_ports", "80, 443", "443", True),
    "ports opened": ({"allowed_ports": (80, 443, 8443)}, "allowed_ports", "80, 443", "80, 443, 8443", False),
    "unknown let pass": ({"block_unknown_domains": False}, "block_unknown_domains", "true", "false", False),
    "only reported": ({"mode": Mode.REPORT}, "mode", "ENFORCE", "REPORT", False),
    "no more optional fields": ({"audit_logging": False}, "audit_logging", "true", "false", False),
    "a smaller burst": (
        {"limits": Limits(requests_per_minute=100_000, requests_per_hour=1_000_000, burst_size=5)},
        "limits.burst_size", "100000", "5", True,
    ),
    "a first limit on tunnels": (
        {"limits": Limits(requests_per_minute=100_000, requests_per_hour=1_000_000, burst_size=100_000, max_tunnels=9)},
        "limits.max_tunnels", "0", "9", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "field", "before", "after", "tightens"), FIELDS.values(), ids=FIELDS)
def test_fields(change: dict[str, object], field: str, before: str, after: str, tightens: bool) -> None:
    (found,) = difference(policy(), policy(**change)).fields
    assert (found.field, found.before, found.after, found.tightens) == (field, before, after, tightens)


LABEL = st.sampled_from("ab")
NAME = st.lists(LABEL, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "com"]))
PATTERNS = st.lists(st.one_of(NAME, NAME.map(lambda name: f"*.{name}")), max_size=6).map(tuple)


@given(PATTERNS, PATTERNS, NAME)
def test_a_host_is_in_the_difference_just_when_its_answer_changes(
    before: tuple[str, ...], after: tuple[str, ...], host: str
) -> None:
    found = difference(policy(allowed_domains=before), policy(allowed_domains=after))
    was, now = (DomainSet(patterns).match(host) is not None for patterns in (before, after))
    assert any(_holds(hosts, host) for hosts in found.added) is (now and not was)
    assert any(_holds(hosts, host) for hosts in found.removed) is (was and not now)


def _holds(hosts: HostSet, host: str) -> bool:
    return DomainSet([hosts.pattern]).match(host) is not None and DomainSet(hosts.excepted).match(host) is None
