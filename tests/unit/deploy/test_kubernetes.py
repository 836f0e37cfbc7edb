"""The objects for Kubernetes and Istio: they render, their schemas take them, and what they name exists in the code."""

import re
import shutil
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
from stockade_network_policy.settings import PolicySettings

ROOT = Path(__file__).parents[3]
OVERLAYS = ("deploy/kubernetes/sidecar", "deploy/istio")
OURS = ("deploy/kubernetes/base", *OVERLAYS)
NO_OBJECTS = ("kustomization.yaml", "mesh-config.yaml", "certificate.yaml", "authority.yaml")
SETTINGS = {"AUDIT": AuditSettings, "POLICY": PolicySettings, "CACHE": CacheSettings}
Object = dict[str, Any]


def objects() -> list[Object]:
    """Every object in the files as they are written; patches and Envoy's own configuration left out."""
    files = [file for place in OURS for file in sorted((ROOT / place).glob("*.yaml"))]
    ours = [file for file in files if file.name not in NO_OBJECTS and not file.name.endswith("-pod.yaml")]
    found = [document for file in ours for document in yaml.safe_load_all(file.read_text())]
    return [each for each in found if "kind" in each]


def rendered(overlay: str) -> list[Object]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", ROOT / overlay]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def sets(found: list[Object]) -> list[Object]:
    return [each for each in found if each["kind"] == "StatefulSet"]


def validate(each: Object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def is_builtin(each: Object) -> bool:
    return "istio.io" not in each["apiVersion"]


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(each, id=f"{each['kind']}-{each['metadata']['name']}")
        for each in objects()
        if is_builtin(each) and each["kind"] != "StatefulSet"
    ],
)
def test_schema_takes_it(each: Object) -> None:
    validate(each)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_renders_and_schemas_take_it(overlay: str) -> None:
    found = rendered(overlay)
    assert {each["metadata"]["name"] for each in sets(found)} == {"policy", "cache"}
    for each in filter(is_builtin, found):
        validate(each)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_keep_to_the_restricted_standard(overlay: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards: what its table asks of a container."""
    for each in sets(rendered(overlay)):
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} <= {
            "emptyDir",
            "secret",
            "configMap",
        }
        for container in (*pod["initContainers"], *pod["containers"]):
            context = container["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["runAsUser"] > 10_000


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_settings(overlay: str) -> None:
    known = {f"STOCKADE_{name}_{field.name.upper()}" for name, cls in SETTINGS.items() for field in fields(cls)}
    named = {
        variable["name"]
        for each in sets(rendered(overlay))
        for container in each["spec"]["template"]["spec"]["containers"]
        for variable in container.get("env", [])
    }
    assert named
    assert named <= known


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_port_of_a_service_is_open_to_somebody_in_the_network(overlay: str) -> None:
    found = rendered(overlay)
    policies = [each for each in found if each["kind"] == "NetworkPolicy"]
    opened = {
        port["port"] for policy in policies for rule in policy["spec"].get("ingress", []) for port in rule["ports"]
    }
    served = {port["port"] for each in found if each["kind"] == "Service" for port in each["spec"]["ports"]}
    assert served <= opened


def test_without_a_named_way_nothing_passes() -> None:
    [closed] = [each for each in objects() if each["metadata"]["name"] == "nothing-else"]
    assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    [closed] = [each for each in objects() if each["metadata"]["name"] == "nobody-else"]
    assert closed["spec"] == {}


def test_images_are_made_by_the_repository() -> None:
    """`gather` knows every service that a pod's image is named after."""
    gather = (ROOT / "deploy/images/services/gather").read_text()
    made = set(re.findall(r"^  (\w+)\) own=", gather, re.MULTILINE))
    used = {
        container["image"].removeprefix("stockade/").partition(":")[0]
        for each in sets(objects())
        for container in each["spec"]["template"]["spec"]["containers"]
        if container["image"].startswith("stockade/")
    }
    assert used == made == {"audit", "policy", "cache"}
