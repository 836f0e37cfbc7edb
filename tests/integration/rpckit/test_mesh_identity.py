"""Who calls by certificate and behind a sidecar: who is let in as whom, and that each refusal is in the record."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from stockade_rpckit.errors import details_of
from stockade_rpckit.placements import Placement

from support.probe import messages, stubs
from support.probe_mesh import NO_CALL, OURS, Mesh, probe_mesh, spiffe

AGENT = ("qe-test-generator.main", "test-generator", "sb-abcdefgh2345")
HEADERS = ("x-stockade-agent", "x-stockade-agent-type", "x-stockade-sandbox")


def named(agent: str = AGENT[0], agent_type: str = AGENT[1], sandbox: str = AGENT[2]) -> tuple[tuple[str, str], ...]:
    """The headers of a door."""
    return tuple(zip(HEADERS, (agent, agent_type, sandbox), strict=True))


def forwarded(*elements: str) -> tuple[tuple[str, str], ...]:
    """The header of sidecars on the way."""
    return (("x-forwarded-client-cert", ",".join(elements)),)


def element(uri: str, by: str = OURS) -> str:
    """What a sidecar says of a caller."""
    return f'By={by};Hash=00ff;Subject="CN=a,O=\\"b;c\\"";URI={uri}'


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with probe_mesh(tmp_path) as mesh:
        mesh.place_sandbox(AGENT[2], Placement("node-1", AGENT[0], AGENT[1], "ada", 4_000_000_000))
        yield mesh


def test_who_is_who_by_certificate(mesh: Mesh) -> None:
    other_node = named(sandbox="sb-zzzzzzzz2345")
    cases: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...], str]] = {
        "an operator": ((spiffe("operator/ada"),), (), "operator ada"),
        "an auditor": ((spiffe("auditor/bob"),), (), "auditor bob"),
        "a service": ((spiffe("service/mailer"),), (), "service mailer"),
        "an agent": ((spiffe("agent/test-generator/main"),), (), "agent main test-generator"),
        "a node, for itself": ((spiffe("node/node-1"),), (), "NODE_NOT_PLACED"),
        "a node, for its agent": ((spiffe("node/node-1"),), named(), "agent " + " ".join(AGENT)),
        "another node, for that agent": ((spiffe("node/node-2"),), named(), "NODE_NOT_PLACED"),
        "a node, for another agent": ((spiffe("node/node-1"),), named(agent="other.main"), "NODE_NOT_PLACED"),
        "a node, for another type": ((spiffe("node/node-1"),), named(agent_type="other"), "NODE_NOT_PLACED"),
        "a node, for an ended sandbox": ((spiffe("node/node-1"),), other_node, "NODE_NOT_PLACED"),
        "a node, for half an agent": ((spiffe("node/node-1"),), named()[:2], "NODE_NOT_PLACED"),
        "an operator who names an agent": ((spiffe("operator/ada"),), named(), "operator ada"),
        "a service that names an agent": ((spiffe("service/mailer"),), named(), "service mailer"),
        "an agent who names another": ((spiffe("agent/t/main"),), named(), "agent main t"),
        "a forwarded certificate": (
            (spiffe("agent/t/main"),),
            forwarded(element(spiffe("operator/ada"))),
            "agent main t",
        ),
        "another trust domain": (("spiffe://elsewhere/operator/ada",), (), "IDENTITY_REFUSED"),
        "a trust domain that ends alike": (("spiffe://not-stockade/operator/ada",), (), "IDENTITY_REFUSED"),
        "two ids": ((spiffe("operator/ada"), spiffe("agent/t/main")), (), "IDENTITY_REFUSED"),
        "no id": ((), (), "IDENTITY_REFUSED"),
        "an unknown path": ((spiffe("root/ada"),), (), "IDENTITY_REFUSED"),
        "a path too long": ((spiffe("operator/ada/x"),), (), "IDENTITY_REFUSED"),
        "a name that is none": ((spiffe("operator/.."),), (), "IDENTITY_REFUSED"),
    }
    found = {}
    for case, (uris, metadata, _) in cases.items():
        with mesh.by_certificate(*uris) as channel:
            found[case] = mesh.who(stubs.ProbeStub(channel), *metadata)
    assert found == {case: expected for case, (_, _, expected) in cases.items()}

    refused = {(entry["reason"], entry["principal"]) for entry in mesh.entries() if entry.get("reason")}
    assert refused == {
        ("IDENTITY_REFUSED", "unauthenticated"),
        ("NODE_NOT_PLACED", "node-1"),
        ("NODE_NOT_PLACED", "node-2"),
    }


def test_a_refusal_says_who_it_said_it_was_and_from_where(mesh: Mesh) -> None:
    with mesh.by_certificate(spiffe("node/node-2")) as channel:
        assert mesh.who(stubs.ProbeStub(channel), *named()) == "NODE_NOT_PLACED"
    with mesh.by_certificate("spiffe://elsewhere/operator/ada") as channel:
        assert mesh.who(stubs.ProbeStub(channel)) == "IDENTITY_REFUSED"
    with mesh.by_certificate(spiffe("agent/test-generator/main")) as channel, pytest.raises(grpc.RpcError) as failed:
        stubs.ProbeStub(channel).Intend(messages.Ask(name="x"), timeout=5)
    assert details_of(failed.value)["reason"] == "CALLER_NOT_ALLOWED"

    found = {entry["reason"]: entry for entry in mesh.entries()}
    node, elsewhere, agent = (found[reason] for reason in ("NODE_NOT_PLACED", "IDENTITY_REFUSED", "CALLER_NOT_ALLOWED"))
    assert {entry["metadata"]["peer"] for entry in (node, elsewhere, agent)} == {"127.0.0.1"}
    assert (node["principal"], node["agent"], node["agent_type"], node["sandbox"]) == ("node-2", *AGENT)
    assert elsewhere["resource"] == "spiffe://elsewhere/operator/ada"
    assert (agent["principal_kind"], agent["agent"]) == ("agent", "main")
    assert agent["method"] == "probe.v1.Probe/Intend"


def test_handshakes_that_fail_are_in_the_record(mesh: Mesh) -> None:
    operator = spiffe("operator/ada")
    cases = {
        "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate": mesh.by_certificate(
            operator, authority=mesh.foreign
        ),
        "CERTIFICATE_VERIFY_FAILED: certificate has expired": mesh.by_certificate(
            operator, expires=timedelta(seconds=-5)
        ),
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": mesh.channel(),
        "WRONG_VERSION_NUMBER": grpc.insecure_channel(f"localhost:{mesh.port}"),
    }
    for why, channel in cases.items():
        with channel:
            assert mesh.who(stubs.ProbeStub(channel)) == NO_CALL, why
    refused = [entry for entry in mesh.entries() if entry.get("reason") == "HANDSHAKE_REFUSED"]
    assert {entry["metadata"]["why"] for entry in refused} == set(cases)
    assert {entry["metadata"]["listener"] for entry in refused} == {f"127.0.0.1:{mesh.port}"}


def test_who_is_who_behind_a_sidecar(mesh: Mesh) -> None:
    operator, agent = spiffe("operator/ada"), spiffe("agent/t/main")
    cases: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
        "an operator": (forwarded(element(operator)), "operator ada"),
        "a node, for its agent": (forwarded(element(spiffe("node/node-1"))) + named(), "agent " + " ".join(AGENT)),
        "another node, for that agent": (forwarded(element(spiffe("node/node-2"))) + named(), "NODE_NOT_PLACED"),
        "a prepended element": (forwarded(element(operator), element(agent)), "agent main t"),
        "a header before the sidecar's": (forwarded(element(operator)) + forwarded(element(agent)), "agent main t"),
        "no header": ((), "IDENTITY_MISSING"),
        "another sidecar's": (forwarded(element(operator, by=spiffe("node/node-2"))), "IDENTITY_REFUSED"),
        "ours, and one after it that is not": (
            forwarded(element(operator), element(operator, by="spiffe://x/y")),
            "IDENTITY_REFUSED",
        ),
        "two sidecars in one": (forwarded(f"By={OURS};{element(operator)}"), "IDENTITY_REFUSED"),
        "two ids": (forwarded(f"{element(operator)};URI={agent}"), "IDENTITY_REFUSED"),
        "no id": (forwarded(f"By={OURS};Hash=00"), "IDENTITY_REFUSED"),
        "no sidecar": (forwarded(f"URI={operator}"), "IDENTITY_REFUSED"),
        "another trust domain": (forwarded(element("spiffe://elsewhere/operator/ada")), "IDENTITY_REFUSED"),
        "an element in quotes": (forwarded(f'Subject="x",{element(agent)}'), "agent main t"),
        "an id in a quoted value": (
            forwarded(f'By={OURS};Subject="a,By={OURS};URI={operator}";URI={agent}'),
            "agent main t",
        ),
        "a quote that is not closed": (forwarded(f'{element(operator)};Subject="x'), "IDENTITY_REFUSED"),
    }
    with mesh.socket("sidecar") as channel:
        found = {case: mesh.who(stubs.ProbeStub(channel), *metadata) for case, (metadata, _) in cases.items()}
    assert found == {case: expected for case, (_, expected) in cases.items()}
    refused = [entry for entry in mesh.entries() if entry.get("reason") == "IDENTITY_REFUSED"]
    assert any("elsewhere" in entry.get("resource", "") for entry in refused)


def test_what_a_header_says_counts_nowhere_else(mesh: Mesh) -> None:
    said = forwarded(element(spiffe("auditor/eve"))) + named()
    expected = {"operators/ada": "operator ada", "services": "service stockade", "gate": "agent " + " ".join(AGENT)}
    for directory, who in expected.items():
        with mesh.socket(directory) as channel:
            assert mesh.who(stubs.ProbeStub(channel), *said) == who


def test_while_the_registry_is_away_only_what_it_just_said_counts(mesh: Mesh) -> None:
    with mesh.by_certificate(spiffe("node/node-1")) as channel:
        stub = stubs.ProbeStub(channel)
        assert mesh.who(stub, *named()) == "agent " + " ".join(AGENT)
        mesh.registry.stop()
        assert mesh.who(stub, *named()) == "agent " + " ".join(AGENT)
        assert mesh.who(stub, *named(sandbox="sb-zzzzzzzz2345")) == "DEPENDENCY_UNAVAILABLE"
    [refused] = [entry for entry in mesh.entries() if entry.get("reason") == "DEPENDENCY_UNAVAILABLE"]
    assert (refused["principal"], refused["sandbox"], refused["status"]) == ("node-1", "sb-zzzzzzzz2345", "UNAVAILABLE")
