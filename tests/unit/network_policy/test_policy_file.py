"""A policy file: every mistake at once, each with its line and mend."""

from pathlib import Path

import pytest
from stockade_network_policy import policy_file
from stockade_network_policy.policy_file import PolicyFileCorrupt, load, parse
from stockade_network_policy.settings import SHIPPED

GOOD = "policies:\n  a: {allowed_domains: [x.com], requests_per_minute: 1, requests_per_hour: 1, burst_size: 1"

MISTAKES = {
    "not YAML": ("policies:\n  a: {b: [}\n", 2, "indentation"),
    "empty": ("", 1, "begin with"),
    "a list": ("- a\n", 1, "begin with"),
    "no policies": ("aliases: {}\n", 1, "policies:"),
    "section with a typo": (f"{GOOD}}}\npolices: {{}}\n", 3, "did you mean policies?"),
    "field with a typo": (f"{GOOD}, alowed_ports: [80]}}\n", 2, "did you mean allowed_ports?"),
    "a policy given twice": (GOOD + "}\n" + GOOD[10:] + "}\n", 3, "keep one"),
    "no body": ("policies:\n  a:\n", 2, "fields below"),
    "missing domains": ("policies:\n  a: {requests_per_minute: 1, requests_per_hour: 1, burst_size: 1}", 2, "a list"),
    "everything allowed": (GOOD.replace("x.com", '\n    "*"') + "}", 3, "block_unknown_domains: false"),
    "a public suffix": (GOOD.replace("x.com", '\n    y.com,\n    "*.co.uk"') + "}", 4, "*.example.co.uk"),
    "an address": (GOOD.replace("x.com", "1.2.3.4") + "}", 2, "host's name"),
    "a number for a domain": (GOOD.replace("x.com", "12") + "}", 2, "in quotes"),
    "a port out of range": (f"{GOOD}, allowed_ports: [443, 70000]}}", 2, "1 to 65535"),
    "a rate of nothing": (GOOD.replace("minute: 1", "minute: 0") + "}", 2, "1 to 1000000"),
    "a rate in words": (GOOD.replace("burst_size: 1", "burst_size: ten") + "}", 2, "whole number"),
    "a switch in words": (f"{GOOD}, audit_logging: maybe}}", 2, "true or false"),
    "an unknown mode": (f"{GOOD}, mode: DRY}}", 2, "ENFORCE or REPORT"),
    "a name nobody can have": (GOOD.replace("  a:", "  A b:") + "}", 2, "lower-case"),
}


@pytest.mark.parametrize(("text", "line", "mend"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_has_its_line_and_mend(text: str, line: int, mend: str) -> None:
    (mistake,) = parse(text).mistakes
    assert mistake.line == line
    assert mend in mistake.mend


def test_every_mistake_at_once() -> None:
    text = "policies:\n  a:\n    allowed_domains: ['*', '*.com', ok.com]\n    requests_per_minute: 0\n    burst: 3\n"
    assert [(m.line, m.field.removeprefix("policies.a.")) for m in parse(text).mistakes] == [
        (3, "allowed_domains[0]"),
        (3, "allowed_domains[1]"),
        (3, "requests_per_hour"),
        (3, "burst_size"),
        (4, "requests_per_minute"),
        (5, "burst"),
    ]


def test_anchors_and_own_keys() -> None:
    text = (
        "x-classes:\n  small: &small {requests_per_minute: 1, requests_per_hour: 2, burst_size: 3}\n"
        "aliases: {b: a}\n"
        "policies:\n  a: {<<: *small, allowed_domains: [X.com., '*.y.com'], burst_size: 4}\n"
    )
    read = parse(text)
    assert not read.mistakes
    assert read.aliases == {"b": "a"}
    (policy,) = read.policies
    assert (policy.allowed_domains, policy.limits.burst_size) == (("*.y.com", "x.com"), 4)


def test_too_many_domains_are_one_mistake() -> None:
    (mistake,) = parse(GOOD.replace("x.com", ",".join(f"h{n}.com" for n in range(100_001))) + "}").mistakes
    assert "100000" in mistake.message


def test_a_corrupt_file_is_one_line_with_file_line_and_mend(tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(GOOD.replace("x.com", "'*'") + "}")
    with pytest.raises(PolicyFileCorrupt) as refusal:
        load(path)
    line = str(refusal.value)
    assert "\n" not in line
    assert f"{path}, line 2" in line
    assert "block_unknown_domains: false" in line


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileCorrupt, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_what_stockade_ships_with() -> None:
    shipped = load(SHIPPED)
    policies = {policy.agent_type: policy for policy in shipped.policies}
    assert len(policies) == 95
    assert policies["test-generator"].allowed_domains == ("*.npmjs.org", "api.anthropic.com", "api.github.com")
    assert "*.osv.dev" in policies["security-scanner"].allowed_domains
    limits = policies["default"].limits
    assert (limits.requests_per_minute, limits.requests_per_hour, limits.burst_size) == (10, 100, 3)
    assert all(policy.block_unknown_domains and policy.audit_logging for policy in policies.values())
    assert shipped.aliases["accessibility-ally"] in policies


def test_the_reader_leaves_nothing_open() -> None:
    assert policy_file.parse("policies: {}\n").policies == []
