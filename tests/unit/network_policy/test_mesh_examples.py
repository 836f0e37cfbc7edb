"""The pieces for Istio fit each other, the stock Envoy's and what the service serves; Envoy's own are run elsewhere."""

from pathlib import Path
from typing import Any

import yaml
from stockade_network_policy.envoy.server import SOCKET

MESH = Path(__file__).parents[3] / "docs/examples/mesh"
PIECES: list[dict[str, Any]] = list(yaml.safe_load_all((MESH / "istio.yaml").read_text()))


def piece(kind: str, name: str = "") -> dict[str, Any]:
    """The one piece of that kind."""
    (found,) = [p for p in PIECES if p["kind"] == kind and name in p.get("metadata", {}).get("name", "")]
    spec: dict[str, Any] = found["spec"]
    return spec


PROVIDERS = {provider["name"]: provider for provider in piece("IstioOperator")["meshConfig"]["extensionProviders"]}


def test_a_provider_that_does_not_answer_lets_nothing_pass_within_a_judgements_time() -> None:
    asked = PROVIDERS["stockade"]["envoyExtAuthzGrpc"]
    assert (asked["failOpen"], asked["statusOnError"], asked["timeout"]) == (False, "503", "0.25s")


def test_every_provider_that_is_named_is_defined() -> None:
    decides = piece("AuthorizationPolicy", "decides")
    logs = [each["name"] for logging in piece("Telemetry")["accessLogging"] for each in logging["providers"]]
    assert {decides["provider"]["name"], *logs} == set(PROVIDERS)
    assert (decides["action"], decides["rules"]) == ("CUSTOM", [{}])


def test_the_port_leads_to_the_services_socket_and_is_the_gateways_alone() -> None:
    (ingress,) = piece("Sidecar")["ingress"]
    assert ingress["defaultEndpoint"] == f"unix:///run/stockade/services/{SOCKET}"
    ports = {provider[kind]["port"] for provider in PROVIDERS.values() for kind in provider if kind != "name"}
    assert ports == {ingress["port"]["number"]}
    (rule,) = piece("AuthorizationPolicy", "only-the-gateway")["rules"]
    assert rule["to"] == [{"operation": {"ports": [str(ingress["port"]["number"])]}}]
    assert [source["source"] for source in rule["from"]] == [
        {"principals": ["cluster.local/ns/istio-system/sa/istio-egressgateway"]}
    ]


def test_the_stock_envoys_example_asks_at_the_same_socket() -> None:
    assert f"/run/stockade/services/{SOCKET}" in (MESH / "envoy.yaml").read_text()
