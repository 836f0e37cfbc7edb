"""Bad input at start, an engine that is not there, and a node that is full: one clear line that names the mend."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stockade.sandbox.v1 import node_service_pb2, sandbox_pb2, sandbox_service_pb2

from support.engine import EngineInUse
from support.sandbox_service import ServedSandboxes, refused, served_sandboxes

pytestmark = pytest.mark.docker


@pytest.fixture
def root() -> Iterator[Path]:
    """Directories for a service that does not come up."""
    with tempfile.TemporaryDirectory(prefix="stk-") as directory:
        (Path(directory) / "run/operators/ada").mkdir(parents=True)
        yield Path(directory)


def _corrupt_profiles(root: Path) -> dict[str, str]:
    (root / "profiles.yaml").write_text("classes: {small: {cpu: many}}\ntypes: {small: [a]}\ndefault: {}\n")
    return {"PROFILES": str(root / "profiles.yaml")}


def _corrupt_registry(root: Path) -> dict[str, str]:
    (root / "state/sandbox").mkdir(parents=True)
    (root / "state/sandbox/registry.sqlite").write_text("this is no database, and long enough to be seen as none" * 20)
    return {}


STARTS: dict[str, tuple[Callable[[Path], dict[str, str]], str]] = {
    "a corrupt catalogue of profiles": (_corrupt_profiles, "correct the file"),
    "a catalogue that is not there": (lambda _: {"PROFILES": "/nowhere/profiles.yaml"}, "/nowhere/profiles.yaml"),
    "a corrupt registry": (_corrupt_registry, "move it away"),
    "a tier that is none": (lambda _: {"TIERS": "RUNC,KVM"}, "serves RUNC"),
    "a setting that is none": (lambda _: {"TEIRS": "RUNC"}, "STOCKADE_SANDBOX_TIERS"),
    "a setting of the wrong type": (lambda _: {"UID_BASE": "high"}, "STOCKADE_SANDBOX_UID_BASE"),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_bad_start_ends_with_one_line(name: str, root: Path) -> None:
    prepare, mend = STARTS[name]
    told = {"RUN_DIR": str(root / "run"), "STATE_DIR": str(root / "state"), **prepare(root)}
    environment = os.environ | {f"STOCKADE_SANDBOX_{key}": value for key, value in told.items()}
    command = [sys.executable, "-m", "stockade_sandbox"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert mend in lines[0]


def test_without_an_engine_it_says_so_and_refuses() -> None:
    with served_sandboxes(EngineInUse("unix:///tmp/no-engine.sock")) as served:
        ada = served.operator()
        found = refused(ada.create)
        assert (found["code"], found["reason"]) == ("UNAVAILABLE", "ENGINE_UNAVAILABLE")
        assert "deploy/host/engine start" in found["message"]
        assert ada.nodes.ListNodes(node_service_pb2.ListNodesRequest()).nodes[0].engine == ""


def test_a_full_node_and_a_full_quota_say_what_frees_room(engine: EngineInUse) -> None:
    with served_sandboxes(engine, sandboxes_per_owner=1, sandboxes_per_node=2) as served:
        ada, bob = served.operator("ada"), served.operator("bob")
        first = ada.create()
        found = refused(ada.create)
        assert (found["code"], found["reason"]) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
        assert "delete one" in found["message"]
        bob.create()
        found = refused(lambda: served.service().create())
        assert (found["code"], found["reason"]) == ("UNAVAILABLE", "NODE_FULL")
        ada.delete(first.name)
        assert ada.create().state == sandbox_pb2.SANDBOX_STATE_RUNNING


def test_a_disk_that_cannot_hold_it_is_a_full_node(engine: EngineInUse) -> None:
    with served_sandboxes(engine, disk_reserve_mib=1 << 30) as served:
        found = refused(served.operator().create)
        assert (found["code"], found["reason"]) == ("UNAVAILABLE", "NODE_FULL")
        assert found["metadata"]["resource"] == "disk"
        assert not served.containers()


def test_a_cordoned_node_takes_none_and_a_drained_one_has_none(engine: EngineInUse) -> None:
    with served_sandboxes(engine) as served:
        ada = served.operator()
        name = ada.create().name
        ada.nodes.CordonNode(node_service_pb2.CordonNodeRequest(name="node-0"))
        assert refused(ada.create)["reason"] == "NODE_FULL"
        served.stop()
        served.start()
        ada = served.operator()
        assert refused(ada.create)["reason"] == "NODE_FULL"  # a restart does not lift it
        drained = ada.nodes.DrainNode(node_service_pb2.DrainNodeRequest(name="node-0"))
        assert list(drained.ended_sandboxes) == [name]
        assert drained.node.sandboxes == 0
        assert ada.get(name).state_reason == sandbox_pb2.STATE_REASON_NODE_DRAINED
        assert refused(lambda: ada.nodes.CordonNode(node_service_pb2.CordonNodeRequest(name="other")))["reason"] == (
            "NODE_NOT_FOUND"
        )
        node = ada.nodes.UncordonNode(node_service_pb2.UncordonNodeRequest(name="node-0")).node
        assert node.engine.startswith("docker ")
        assert ada.create().name != name


def test_only_who_may_call_may(engine: EngineInUse) -> None:
    with served_sandboxes(engine) as served:
        _hold_callers(served)


def _hold_callers(served: ServedSandboxes) -> None:
    eve, agent = served.auditor(), served.agent("agent-1", "sb-abcdefghijkl")
    name = "sb-abcdefghijkl"
    calls: dict[str, Callable[[], Any]] = {
        "an auditor creates": eve.create,
        "an auditor deletes": lambda: eve.delete(name),
        "an agent creates": agent.create,
        "an agent pauses": lambda: agent.sandboxes.PauseSandbox(sandbox_service_pb2.PauseSandboxRequest(name=name)),
        "an agent drains": lambda: agent.nodes.DrainNode(node_service_pb2.DrainNodeRequest(name="node-0")),
        "an agent lists nodes": lambda: agent.nodes.ListNodes(node_service_pb2.ListNodesRequest()),
    }
    for what, call in calls.items():
        assert refused(call)["reason"] == "CALLER_NOT_ALLOWED", what
    assert not list(eve.sandboxes.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest()).sandboxes)
