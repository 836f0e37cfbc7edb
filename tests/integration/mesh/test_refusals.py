"""Whom a mesh lets in, and as whom: what is refused at a node's sidecar or its service's own port, and recorded."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.audit.v1 import audit_service_pb2, audit_service_pb2_grpc, entry_pb2
from stockade.networkpolicy.v1 import decision_service_pb2 as policy_pb
from stockade.networkpolicy.v1 import decision_service_pb2_grpc as policy_rpc
from stockade.sandbox.v1 import sandbox_service_pb2 as sandbox_pb
from stockade.sandbox.v1 import sandbox_service_pb2_grpc as sandbox_rpc

from support.authority import Authority
from support.gate import needs_envoy
from support.mesh import Mesh, wait_for
from support.mesh_client import NODE, bare, failure, standard
from support.mesh_sidecar import spiffe

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]
AGENT, OTHER, TYPE = "mesh-placed", "mesh-other", "default"
OPERATOR_SAYS = f"By={spiffe('node/a')};URI={spiffe('operator/ana')}"
"""An x-forwarded-client-cert that would do, were it believed."""
SIDECAR, PORT = "sidecar", "port"


def lists(channel: grpc.Channel, metadata: Any) -> Any:
    return sandbox_rpc.SandboxServiceStub(channel).ListSandboxes(
        sandbox_pb.ListSandboxesRequest(), metadata=metadata, timeout=10
    )


def creates(channel: grpc.Channel, metadata: Any) -> Any:
    request = sandbox_pb.CreateSandboxRequest(agent=AGENT, agent_type=TYPE)
    return sandbox_rpc.SandboxServiceStub(channel).CreateSandbox(request, metadata=metadata, timeout=10)


def checks(channel: grpc.Channel, metadata: Any, agent: str = "") -> Any:
    request = policy_pb.RequestToCheck(agent=agent, agent_type=TYPE if agent else "", host="example.com", port=443)
    asked = policy_pb.CheckRequestRequest(request=request)
    return policy_rpc.DecisionServiceStub(channel).CheckRequest(asked, metadata=metadata, timeout=10)


def checks_for_another(channel: grpc.Channel, metadata: Any) -> Any:
    return checks(channel, metadata, OTHER)


@dataclass(frozen=True)
class Refusal:
    """Who calls what, and what must come of it: status and reason, and fields of an entry in node a's record."""

    call: Any
    ends: tuple[str, str]
    entry: Mapping[str, str]
    caller: str = "agent/default/mesh-outsider"
    certificate: str = "good"
    says: Mapping[str, str] = field(default_factory=dict)
    way: str = SIDECAR


def agent(name: str, sandbox: str) -> dict[str, str]:
    """What a node says of the agent it speaks for; $placed and $elsewhere are this test's sandboxes on a and b."""
    return {"x-stockade-agent": name, "x-stockade-agent-type": TYPE, "x-stockade-sandbox": sandbox}


DENIED = ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
NOT_PLACED = ("UNAUTHENTICATED", "NODE_NOT_PLACED")
UNHEARD = ("UNAVAILABLE", "")
OUTSIDER = {"principal": "mesh-outsider", "reason": "CALLER_NOT_ALLOWED"}
HANDSHAKE = {"reason": "HANDSHAKE_REFUSED"}

CASES = {
    "an agent calls what operators may": Refusal(creates, DENIED, OUTSIDER),
    "its forged header says operator": Refusal(
        creates, DENIED, OUTSIDER, says={"x-forwarded-client-cert": OPERATOR_SAYS}
    ),
    "an element put before the sidecar's": Refusal(
        creates, DENIED, OUTSIDER, says={"x-forwarded-client-cert": f"{OPERATOR_SAYS},By={spiffe('node/a')}"}
    ),
    "an agent names itself another": Refusal(checks_for_another, DENIED, OUTSIDER),
    "an agent writes what a door writes": Refusal(
        checks_for_another, DENIED, OUTSIDER, says=agent(OTHER, "sb-aaaaaaaaaaaa")
    ),
    "a node speaks for another node's agent": Refusal(
        checks, NOT_PLACED, {"principal": "b", "agent": AGENT}, "node/b", says=agent(AGENT, "$placed")
    ),
    "a node names another agent of its sandbox": Refusal(
        checks, NOT_PLACED, {"principal": "a", "agent": OTHER}, "node/a", says=agent(OTHER, "$placed")
    ),
    "a node speaks for a sandbox that has ended": Refusal(
        checks, NOT_PLACED, {"principal": "a", "agent": AGENT}, "node/a", says=agent(AGENT, "$ended")
    ),
    "an id of no kind": Refusal(
        lists, ("UNAUTHENTICATED", "IDENTITY_REFUSED"), {"reason": "IDENTITY_REFUSED"}, "human/eve"
    ),
    "in clear": Refusal(lists, UNHEARD, {}, certificate="none, in clear"),
    "without a certificate": Refusal(lists, UNHEARD, {}, certificate="none"),
    "by a foreign authority": Refusal(lists, UNHEARD, {}, "operator/ana", "foreign"),
    "with an expired certificate": Refusal(lists, UNHEARD, {}, "operator/ana", "expired"),
    "of another trust domain": Refusal(lists, UNHEARD, {}, "spiffe://elsewhere/operator/ana"),
    "in clear, at the service's port": Refusal(lists, UNHEARD, HANDSHAKE, certificate="none, in clear", way=PORT),
    "without a certificate, at the port": Refusal(lists, UNHEARD, HANDSHAKE, certificate="none", way=PORT),
    "by a foreign authority, at the port": Refusal(lists, UNHEARD, HANDSHAKE, "operator/ana", "foreign", way=PORT),
    "with an expired one, at the port": Refusal(lists, UNHEARD, HANDSHAKE, "operator/ana", "expired", way=PORT),
    "a header at the port, where no sidecar is": Refusal(
        creates, DENIED, OUTSIDER, says={"x-forwarded-client-cert": OPERATOR_SAYS}, way=PORT
    ),
}


@pytest.fixture(scope="module")
def words(mesh: Mesh) -> Iterator[dict[str, str]]:
    """The sandboxes that the cases name."""
    with mesh.sandbox("mesh-ended", node="a") as ended:
        pass
    with mesh.sandbox(AGENT, node="a") as placed:
        yield {"$placed": placed, "$ended": ended}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("foreign") / "tls")


@pytest.mark.parametrize("case", CASES)
def test_refused_and_recorded(case: str, mesh: Mesh, words: dict[str, str], foreign: Authority) -> None:
    refusal = CASES[case]
    since_ns = time.time_ns()
    says = tuple((name, words.get(text, text)) for name, text in refusal.says.items())
    with channel(mesh, refusal, foreign) as to, pytest.raises(grpc.RpcError) as caught:
        refusal.call(to, says)
    assert failure(caught.value) == refusal.ends
    if refusal.entry:
        wait_for(lambda: recorded(mesh, since_ns, refusal.entry), 10, "its entry")


def channel(mesh: Mesh, refusal: Refusal, foreign: Authority) -> grpc.Channel:
    target = mesh.way("a", refusal.way)
    if refusal.certificate == "none, in clear":
        return bare(target)
    if refusal.certificate == "none":
        return bare(target, mesh.authority.place / "ca.crt")
    issuer = foreign if refusal.certificate == "foreign" else mesh.authority
    identity = refusal.caller if "://" in refusal.caller else spiffe(refusal.caller)
    pair = issuer.issue("caller", identity, days=-1 if refusal.certificate == "expired" else 1)
    return bare(target, mesh.authority.place / "ca.crt", pair)


def recorded(mesh: Mesh, since_ns: int, wanted: Mapping[str, str]) -> bool:
    """Whether node a's record has an entry with these fields from a moment on."""
    selected = entry_pb2.EntryFilter(start_time=Timestamp(seconds=since_ns // 10**9, nanos=since_ns % 10**9))
    request = audit_service_pb2.ListEntriesRequest(filter=selected, page_size=1000)
    with standard(mesh.target) as to:
        found = audit_service_pb2_grpc.AuditServiceStub(to).ListEntries(request, metadata=((NODE, "a"),)).entries
    return any(all(getattr(entry, name) == value for name, value in wanted.items()) for entry in found)


@pytest.mark.parametrize("way", [SIDECAR, PORT])
def test_a_certificate_that_does(way: str, mesh: Mesh) -> None:
    pair = mesh.authority.issue("caller", spiffe("operator/ana"))
    with bare(mesh.way("a", way), mesh.authority.place / "ca.crt", pair) as to:
        lists(to, ())


def test_a_node_speaks_for_its_own(mesh: Mesh, words: dict[str, str]) -> None:
    pair = mesh.authority.issue("caller", spiffe("node/a"))
    with bare(mesh.way("b", SIDECAR), mesh.authority.place / "ca.crt", pair) as to:
        answer = checks(to, tuple(agent(AGENT, words["$placed"]).items()))
    assert answer.decision.policy == TYPE
