"""Bad policies, by file and by RPC: each is told by its place and its mend, and nothing of it holds."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from stockade.networkpolicy.v1 import policy_pb2
from stockade.networkpolicy.v1 import policy_service_pb2 as pb

from integration.network_policy.test_cli import stockade
from support.policy_service import PolicyService, failure

LIMITS = {"requests_per_minute": 60, "requests_per_hour": 1000, "burst_size": 10}
NO_WHOLE_WORLD = "set block_unknown_domains: false"

# What a file says beside the limits, and what its mistake and mend are told by.
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "every host": ({"allowed_domains": ["*"]}, ("allowed_domains[0]", NO_WHOLE_WORLD)),
    "a public suffix": ({"allowed_domains": ["*.co.uk"]}, ("public suffix co.uk", "*.example.co.uk")),
    "an address": ({"allowed_domains": ["a.com", "10.0.0.1"]}, ("allowed_domains[1]", "write the host's name")),
    "an address in another base": ({"allowed_domains": ["0x7f.1"]}, ("an IP address", "write the host's name")),
    "an address of IPv6": ({"allowed_domains": ["::1"]}, ("an IP address", "write the host's name")),
    "a URL": ({"allowed_domains": ["https://a.com/x"]}, ("a URL", "write a.com")),
    "a port in a domain": ({"allowed_domains": ["a.com:8080"]}, ("names a port", "allowed_ports")),
    "a slip of the finger": ({"allowed_domains": ["api..a.com"]}, ("'api..a.com'", "in its usual form")),
    "a wildcard within": ({"allowed_domains": ["a.*.com"]}, ("not its first label", "*.x.com")),
    "this machine": ({"allowed_domains": ["localhost"]}, ("the machine itself", "remove it")),
    "a port out of range": ({"allowed_domains": [], "allowed_ports": [443, 65536]}, ("allowed_ports[1]", "65535")),
    "no port": ({"allowed_domains": [], "allowed_ports": [0]}, ("allowed_ports[0]",)),
    "a limit of nothing": ({"allowed_domains": [], "requests_per_minute": 0}, ("requests_per_minute", "from 1 to")),
    "too many domains": ({"allowed_domains": [f"h{n}.com" for n in range(100_001)]}, ("100000", "")),
}  # fmt: skip
IN_FILES_ALONE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a misspelt field": ({"alowed_domains": ["a.com"], "allowed_domains": []}, ("did you mean allowed_domains?",)),
    "a misspelt mode": ({"allowed_domains": [], "mode": "ENFROCE"}, ("'ENFROCE' is no mode", "ENFORCE or REPORT")),
    "a limit in words": ({"allowed_domains": [], "burst_size": "lots"}, ("'lots' is out of range", "a whole number")),
    "no list": ({}, ("the list of domains is missing", "[] allows none")),
}


@pytest.mark.parametrize(("values", "told"), (CASES | IN_FILES_ALONE).values(), ids=CASES | IN_FILES_ALONE)
def test_a_file_is_refused_in_one_line(
    service: PolicyService, tmp_path: Path, values: dict[str, Any], told: tuple[str, ...]
) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(json.dumps({"policies": {"mistaken": LIMITS | values}}, indent=0))
    done = stockade(service, "policy", "apply", str(file))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith(f"stockade: {file}:")
    assert not [words for words in told if words not in done.stderr]
    _holds_nothing(service)


@pytest.mark.parametrize(("values", "told"), CASES.values(), ids=CASES)
def test_a_message_is_refused_with_its_field(
    service: PolicyService, values: dict[str, Any], told: tuple[str, ...]
) -> None:
    limits = {name: values.get(name, usual) for name, usual in LIMITS.items()}
    fields = {name: value for name, value in values.items() if name not in LIMITS}
    policy = ParseDict({"agent_type": "mistaken", "limits": limits, **fields}, policy_pb2.Policy())
    with pytest.raises(grpc.RpcError) as error:
        service.operator.policies.CreatePolicy(pb.CreatePolicyRequest(policy=policy))
    code, reason, violations = failure(error.value)
    assert (code, reason) in {("INVALID_ARGUMENT", "POLICY_INVALID"), ("INVALID_ARGUMENT", "INVALID_REQUEST")}
    assert any(name in violations[0] for name in values)
    assert reason == "INVALID_REQUEST" or not [words for words in told if words not in violations[0]]
    _holds_nothing(service)


BROKEN = {
    "no YAML": (b"policies: {a: {allowed_domains: [a.com\n", "check indentation"),
    "no mapping": (b"hello\n", "begin with `policies:`"),
    "nothing": (b"", "begin with `policies:`"),
    "no text": (b"\xff\xfe\x00", "no text in UTF-8"),
}


@pytest.mark.parametrize(("content", "told"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_policy_file_is_refused_in_one_line(
    service: PolicyService, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "policies.yaml"
    file.write_bytes(content)
    done = stockade(service, "policy", "apply", str(file))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert told in done.stderr


def test_the_first_of_many_mistakes_says_where_the_others_are(service: PolicyService, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(json.dumps({"policies": {"mistaken": LIMITS | {"allowed_domains": ["*", "*.com", "::1"]}}}))
    assert f"(2 more: stockade policy lint {file})" in stockade(service, "policy", "apply", str(file)).stderr
    linted = stockade(service, "policy", "lint", str(file))
    assert (linted.returncode, len(linted.stdout.splitlines())) == (1, 3)


WORDS = {
    "a URL for a host": (["test", "default", "https://a.com/x"], 2, "ask about its host, a.com"),
    "a port in a host": (["test", "default", "a.com:22"], 2, "write a.com --port 22"),
    "a domain that is not there": (["revoke", "default", "nope.com"], 1, "nothing is revoked"),
    "a version that is not there": (["diff", "default", "--from", "99"], 4, "has no version 99"),
    "a type that is not there": (["diff", "no-such-type"], 4, "stockade policy list"),
    "no command": ([], 2, "Usage: "),
}


@pytest.mark.parametrize(("words", "code", "told"), WORDS.values(), ids=WORDS)
def test_words_that_cannot_be_meant_name_what_can(
    service: PolicyService, words: list[str], code: int, told: str
) -> None:
    done = stockade(service, "policy", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


def test_a_change_that_changes_nothing_is_no_version(service: PolicyService) -> None:
    add = pb.AddDomainsRequest(agent_type="test-writer", domains=["once.com"])
    first = service.operator.policies.AddDomains(add).policy
    assert service.operator.policies.AddDomains(add).policy.version == first.version


def _holds_nothing(service: PolicyService) -> None:
    with pytest.raises(grpc.RpcError) as error:
        service.operator.policies.GetPolicy(pb.GetPolicyRequest(agent_type="mistaken", exact=True))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
