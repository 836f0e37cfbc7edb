"""The Helm chart, and Istio's objects beside it: they render, their schemas take them, and what they name exists."""

import functools
import re
import subprocess
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from stockade_audit.daemon.settings import AuditSettings
from stockade_embedding_cache.settings import CacheSettings
from stockade_network_policy.gate.settings import GateSettings
from stockade_network_policy.settings import PolicySettings
from stockade_sandbox.settings import Settings

from support import chart
from support.authority import Authority
from support.chart import Object, named, needs_helm
from support.gate import ENVOY, needs_envoy

ROOT = Path(__file__).parents[3]
SIDECARS = ("envoy", "istio")
SETTINGS = {
    "STOCKADE_AUDIT": AuditSettings,
    "STOCKADE_POLICY": PolicySettings,
    "STOCKADE_CACHE": CacheSettings,
    "STOCKADE_SANDBOX": Settings,
    "STOCKADE_GATE": GateSettings,
}
WORKLOADS = ("StatefulSet", "DaemonSet")
pytestmark = needs_helm
sidecar = pytest.mark.parametrize("sidecar", SIDECARS)


@functools.cache
def rendered(sidecar: str) -> list[Object]:
    return chart.rendered(f"sidecar={sidecar}", "collector=collector.observability:4317")


def containers(workload: Object) -> list[dict[str, Any]]:
    pod = workload["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def workloads(sidecar: str) -> list[Object]:
    return [each for each in rendered(sidecar) if each["kind"] in WORKLOADS]


def validate(each: Object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


@sidecar
def test_schemas_take_what_it_renders(sidecar: str) -> None:
    assert {each["metadata"]["name"] for each in workloads(sidecar)} == {"policy", "cache", "sandbox"}
    for each in rendered(sidecar):
        validate(each)


def test_schemas_take_what_lies_beside_it() -> None:
    files = [ROOT / "deploy/kubernetes/namespaces.yaml", *(ROOT / "deploy/istio").glob("*.yaml")]
    for file in files:
        for each in yaml.safe_load_all(file.read_text()):
            if "kind" in each and "istio.io" not in each["apiVersion"] and each["kind"] != "Kustomization":
                validate(each)


REFUSED = {
    "sidecar=linkerd": "/sidecar",
    "policy.replicas.min=0": "/policy/replicas/min",
    "policy.replica=3": "replica",
    "prometheus=cluster.local/prometheus": "/prometheus",
    "sandbox.images=stockade": "/sandbox/images",
    "cache.storage=much": "/cache/storage",
    "sandbox.runDir=/run/a-path-that-leaves-no-room-for-any-socket": "/sandbox/runDir",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_wrong_value_is_refused_by_its_name(setting: str) -> None:
    done = chart.helm(setting)
    assert done.returncode != 0
    assert re.search(REFUSED[setting].replace("/", "[./]"), done.stderr), done.stderr


@sidecar
def test_pods_keep_to_the_restricted_standard(sidecar: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards: what its table asks of a container."""
    for each in workloads(sidecar):
        if each["metadata"]["namespace"] != "stockade":
            continue
        pod = each["spec"]["template"]["spec"]
        assert not {"hostPID", "hostNetwork", "hostIPC"} & pod.keys()
        kinds = {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]}
        assert kinds <= {"emptyDir", "secret", "configMap"}
        for container in containers(each):
            assert is_unprivileged(container), container["name"]


def is_unprivileged(container: dict[str, Any]) -> bool:
    context = container["securityContext"]
    return (
        context.get("capabilities") == {"drop": ["ALL"]}
        and context.get("allowPrivilegeEscalation") is False
        and context.get("readOnlyRootFilesystem") is True
        and context.get("runAsUser", 0) > 10_000
        and not context.get("privileged")
    )


@sidecar
def test_on_a_node_two_containers_are_root_and_one_is_privileged(sidecar: str) -> None:
    node = named(rendered(sidecar), "DaemonSet", "sandbox")
    privileged = {each["name"] for each in containers(node) if not is_unprivileged(each)}
    assert privileged == {"directories", "sandbox"}
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in containers(node))
    [directories] = [each for each in containers(node) if each["name"] == "directories"]
    assert "privileged" not in directories["securityContext"]


@sidecar
def test_settings_are_settings(sidecar: str) -> None:
    known = {f"{prefix}_{field.name.upper()}" for prefix, cls in SETTINGS.items() for field in fields(cls)}
    variables = [
        variable["name"]
        for each in workloads(sidecar)
        for container in containers(each)
        for variable in container.get("env", [])
    ]
    assert {name for name in variables if name.startswith("STOCKADE_")} <= known
    assert len(variables) > 20


@sidecar
def test_each_port_of_a_service_is_open_to_somebody_in_the_network(sidecar: str) -> None:
    found = rendered(sidecar)
    if sidecar == "istio":
        found = [*found, *yaml.safe_load_all((ROOT / "deploy/istio/network.yaml").read_text())]
    opened = {
        port["port"]
        for policy in found
        if policy["kind"] == "NetworkPolicy"
        for rule in policy["spec"].get("ingress", [])
        for port in rule["ports"]
    }
    served = {port["port"] for each in found if each["kind"] == "Service" for port in each["spec"]["ports"]}
    assert served <= opened


def test_without_a_named_way_nothing_passes() -> None:
    closed = [each for each in rendered("envoy") if each["metadata"]["name"] == "nothing-else"]
    assert {each["metadata"]["namespace"] for each in closed} == {"stockade", "stockade-nodes"}
    assert all(each["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for each in closed)
    mesh = yaml.safe_load_all((ROOT / "deploy/istio/mesh.yaml").read_text())
    [closed] = [each for each in mesh if each["metadata"]["name"] == "nobody-else"]
    assert closed["spec"] == {}


def test_sets_are_disrupted_one_by_one_and_scaled() -> None:
    for name in ("policy", "cache"):
        assert named(rendered("envoy"), "PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1
        assert named(rendered("envoy"), "HorizontalPodAutoscaler", name)["spec"]["minReplicas"] == 2


@sidecar
def test_images_are_made_by_the_repository(sidecar: str) -> None:
    """`gather` knows every service that a pod's image is named after."""
    gather = (ROOT / "deploy/images/services/gather").read_text()
    made = set(re.findall(r"^  (\w+)\)", gather, re.MULTILINE))
    images = {each["image"] for workload in workloads(sidecar) for each in containers(workload)}
    assert {image.removeprefix("stockade/").partition(":")[0] for image in images} <= made


@needs_envoy
@pytest.mark.gate
@pytest.mark.parametrize("name", ["policy", "cache", "sandbox"])
def test_envoy_takes_what_its_pod_is_given(name: str, tmp_path: Path) -> None:
    tls = Authority.create(tmp_path / "ca").directory("tls", "spiffe://stockade/service/x")
    for file, text in named(rendered("envoy"), "ConfigMap", f"{name}-envoy")["data"].items():
        (tmp_path / file).write_text(text.replace("/etc/envoy", str(tmp_path)).replace("/etc/stockade/tls", str(tls)))
    for file in ("envoy.yaml", "metrics.yaml"):
        subprocess.run([ENVOY, "-c", tmp_path / file, "--mode", "validate", "-l", "error"], check=True, timeout=30)
