"""Istio's policies of callers say what the contract says, and each port leads to the directory of its kind."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ISTIO = ROOT / "deploy/istio"
DIRECTORIES = {
    "ns/stockade/sa/cache-client": "services",
    "ns/stockade/sa/operator": "operators/mesh",
    "ns/stockade/sa/auditor": "auditors/mesh",
    "node/*": "sidecar",
}
"""Where the socket of each kind of principal lies: an account is one, and a node says by its own id which it is."""


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ISTIO / name).read_text()))


def rule(policy: dict[str, Any]) -> tuple[str, int, set[str]]:
    """(principal without the trust domain, port, paths) of a policy."""
    [only] = policy["spec"]["rules"]
    [principal] = only["from"][0]["source"]["principals"]
    operation = only["to"][0]["operation"]
    [port] = operation["ports"]
    return principal.partition("/")[2], int(port), set(operation["paths"])


POLICIES = [pytest.param(policy, id=policy["metadata"]["name"]) for policy in documents("callers.yaml")]


def test_the_file_is_what_the_generator_writes() -> None:
    generator = runpy.run_path(str(ROOT / "scripts/mesh_policies.py"))
    assert documents("callers.yaml") == [generator["policy"](door) for door in generator["DOORS"]]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_port_leads_to_the_directory_of_that_kind(policy: dict[str, Any]) -> None:
    principal, port, paths = rule(policy)
    sidecars = [each for each in documents("mesh.yaml") if each["kind"] == "Sidecar"]
    [sidecar] = [
        each
        for each in sidecars
        if each["spec"]["workloadSelector"]["labels"] == policy["spec"]["selector"]["matchLabels"]
    ]
    [endpoint] = [each["defaultEndpoint"] for each in sidecar["spec"]["ingress"] if each["port"]["number"] == port]
    directory, service = re.fullmatch(r"unix:///run/stockade/([\w/]+)/(\w+)\.sock", endpoint).groups()  # type: ignore[union-attr]
    assert directory == DIRECTORIES[principal]
    packages = {"cache": "embeddingcache", "policy": "networkpolicy", "audit": "audit"}
    assert packages[service] == next(iter(paths)).split(".")[1]


def test_mutual_tls_is_strict() -> None:
    [peers] = [each for each in documents("mesh.yaml") if each["kind"] == "PeerAuthentication"]
    assert peers["spec"] == {"mtls": {"mode": "STRICT"}}
    assert peers["metadata"]["namespace"] == "stockade"


def test_every_port_of_a_sidecar_is_some_policys() -> None:
    ports = {
        port["port"]["number"]
        for each in documents("mesh.yaml")
        if each["kind"] == "Sidecar"
        for port in each["spec"]["ingress"]
    }
    policies = [*documents("mesh.yaml"), *documents("callers.yaml")]
    ruled = {
        int(port)
        for each in policies
        if each["kind"] == "AuthorizationPolicy"
        for only in each["spec"].get("rules", [])
        for port in only["to"][0]["operation"]["ports"]
    }
    assert ports == ruled


def test_the_gateway_asks_by_providers_that_the_mesh_has_and_fails_closed() -> None:
    [config] = documents("mesh-config.yaml")
    providers = {each["name"]: each for each in config["meshConfig"]["extensionProviders"]}
    decides, outcomes = documents("gateway.yaml")
    telemetry = [*outcomes["spec"]["accessLogging"], *outcomes["spec"]["tracing"]]
    used = {decides["spec"]["provider"]["name"], *(each["name"] for part in telemetry for each in part["providers"])}
    assert used == providers.keys()
    authorizer = providers["stockade"]["envoyExtAuthzGrpc"]
    assert (authorizer["failOpen"], authorizer["statusOnError"]) == (False, "503")
