"""The SDK's evaluator says what the service says, or leaves it to the service."""

import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from stockade.networkpolicy.v1 import policy_pb2 as pb
from stockade_agent.policy import LocalPolicy, SnapshotInvalid
from stockade_network_policy.domain.decision import decide
from stockade_network_policy.domain.policy import Policy, Rules
from stockade_network_policy.handlers.messages import policy_message, timestamp

from support.decision_cases import CASES, Case, policy, request


def local(held: Policy, life_s: float = 60.0, narrowing: tuple[str, ...] | None = None) -> LocalPolicy:
    return LocalPolicy(pb.SignedSnapshot(snapshot=snapshot(held, life_s, narrowing)))


def snapshot(held: Policy, life_s: float = 60.0, narrowing: tuple[str, ...] | None = None) -> bytes:
    return pb.PolicySnapshot(
        policy=policy_message(held),
        expire_time=timestamp(time.time_ns() + round(life_s * 1e9)),
        narrowed=narrowing is not None,
        narrowing=narrowing or (),
    ).SerializeToString()


SURE_OF = {  # by an enforced policy; the asker's protocol is the gate's to know
    "a listed host": True,
    "a listed host on port 80": True,
    "a host below a wildcard": True,
    "the apex of a wildcard": False,
    "an unknown host": False,
    "a port that is not open": False,
    "a policy that allows nothing": False,
    "narrowed to it": True,
    "narrowed to others": False,
    "narrowed to nothing": False,
    "a narrowing cannot widen": False,
}


@pytest.mark.parametrize(("name", "allowed"), SURE_OF.items(), ids=SURE_OF)
def test_it_is_sure_of_plain_names(name: str, allowed: bool) -> None:
    case = CASES[name]
    verdict = local(case.policy, narrowing=case.request.narrowing).decide(case.request.host, case.request.port)
    assert verdict is not None
    assert (verdict.allowed, verdict.rule) == (allowed, case.rule)


WHOLE = {name: case for name, case in CASES.items() if not case.request.malformed}


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_the_service_would_say_the_same(case: Case) -> None:
    ruling = decide(Rules(case.policy), case.request)
    verdict = local(case.policy, narrowing=case.request.narrowing).decide(case.request.host, case.request.port)
    assert verdict is None or tuple(verdict) == (ruling.allowed, ruling.rule, ruling.reason)


LABEL = st.one_of(st.sampled_from(["a", "b", "xn--mnchen-3ya", "0x7f", "12", "münchen", "A", ""]), st.text(max_size=4))
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PATTERN = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "com"]))


@given(
    st.lists(st.one_of(PATTERN, PATTERN.map(lambda name: f"*.{name}")), max_size=5),
    st.one_of(HOST, HOST.map(lambda host: f"{host}.com")),
    st.sampled_from([80, 443, 22]),
    st.booleans(),
)
def test_on_any_host_and_policy(patterns: list[str], host: str, port: int, block: bool) -> None:
    held = policy(allowed_domains=tuple(patterns), block_unknown_domains=block)
    ruling = decide(Rules(held), request(host, port))
    verdict = local(held).decide(host, port)
    assert verdict is None or tuple(verdict) == (ruling.allowed, ruling.rule, ruling.reason)


def test_an_expired_snapshot_decides_nothing() -> None:
    held = local(policy(), life_s=-1)
    assert held.expired
    assert held.decide("api.example.com") is None


def test_a_pinned_key_is_held_to() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    data = snapshot(policy())
    assert LocalPolicy(pb.SignedSnapshot(snapshot=data, signature=key.sign(data)), raw).version == 0
    with pytest.raises(SnapshotInvalid):
        LocalPolicy(pb.SignedSnapshot(snapshot=data, signature=other.sign(data)), raw)
