"""GateService on a served process, with the Envoy that its own program tells how to start."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from stockade.networkpolicy.v1 import gate_service_pb2 as pb
from stockade.networkpolicy.v1 import gate_service_pb2_grpc

from support.gate import ENVOY, needs_envoy
from support.policy_service import PolicyService, policy_service

pytestmark = [pytest.mark.gate, needs_envoy]


def printed(service: PolicyService, word: str) -> str:
    """What the program says of the gate."""
    environment = {"STOCKADE_GATE_RUN_DIR": str(service.run_dir), "STOCKADE_GATE_ENVOY": str(ENVOY)}
    command = [sys.executable, "-m", "stockade_network_policy", word]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def service() -> Iterator[PolicyService]:
    with policy_service() as running:
        (running.run_dir / "gate" / "envoy.yaml").write_text(printed(running, "bootstrap"))
        envoy = subprocess.Popen(json.loads(printed(running, "envoy")), stderr=subprocess.DEVNULL)
        yield running
        envoy.kill()
        envoy.wait()


@pytest.fixture
def gate(service: PolicyService) -> Iterator[Any]:
    with grpc.insecure_channel(f"unix:{service.run_dir}/services/policy.sock") as channel:
        stub = gate_service_pb2_grpc.GateServiceStub(channel)
        deadline = time.monotonic() + 10
        while stub.GetGateStatus(pb.GetGateStatusRequest()).state != pb.GATE_STATE_READY:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield stub
        for door in stub.ListDoors(pb.ListDoorsRequest()).doors:
            stub.CloseDoor(pb.CloseDoorRequest(sandbox=door.sandbox))


@pytest.fixture
def door(service: PolicyService) -> Callable[..., pb.Door]:
    def make(sandbox: str = "sb-one", **fields: Any) -> pb.Door:
        directory = service.run_dir / "sb" / sandbox
        directory.mkdir(parents=True, exist_ok=True)
        asked = {"agent": "ana", "agent_type": "test-generator", "network_mode": pb.NETWORK_MODE_WHITELISTED, **fields}
        paths = {"egress_socket": f"{directory}/egress.sock", "api_socket": f"{directory}/api.sock"}
        return pb.Door(sandbox=sandbox, **{**paths, **asked})

    return make


def test_the_configuration_is_one_that_envoy_takes(service: PolicyService) -> None:
    path = service.run_dir / "gate" / "checked.yaml"
    path.write_text(printed(service, "bootstrap"))
    done = subprocess.run([ENVOY, "--mode", "validate", "-c", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_a_door_is_opened_listed_changed_cut_and_closed(gate: Any, door: Any, service: PolicyService) -> None:
    opened = gate.OpenDoor(pb.OpenDoorRequest(door=door())).door
    assert Path(opened.egress_socket).is_socket()
    assert gate.OpenDoor(pb.OpenDoorRequest(door=door())).door == opened
    narrowed = door(allowed_domains=["api.github.com"])
    mask = FieldMask(paths=["allowed_domains"])
    changed = gate.UpdateDoor(pb.UpdateDoorRequest(door=narrowed, update_mask=mask)).door
    assert (list(changed.allowed_domains), changed.cuts) == (["api.github.com"], 1)
    assert list(gate.CutTunnels(pb.CutTunnelsRequest(sandboxes=["sb-one", "sb-none"])).sandboxes) == ["sb-one"]
    assert [each.cuts for each in gate.ListDoors(pb.ListDoorsRequest()).doors] == [2]
    gate.CloseDoor(pb.CloseDoorRequest(sandbox="sb-one"))
    assert not Path(opened.egress_socket).exists()
    recorded = [entry["action"] for entry in service.entries(sandbox="sb-one")]
    assert {"INTENT", "DOOR_OPENED", "DOOR_CLOSED"} <= set(recorded)


def test_pages_of_doors_are_stable(gate: Any, door: Any) -> None:
    for name in ("sb-c", "sb-a", "sb-b"):
        gate.OpenDoor(pb.OpenDoorRequest(door=door(name)))
    first = gate.ListDoors(pb.ListDoorsRequest(page_size=2))
    rest = gate.ListDoors(pb.ListDoorsRequest(page_size=2, page_token=first.next_page_token))
    assert [each.sandbox for each in (*first.doors, *rest.doors)] == ["sb-a", "sb-b", "sb-c"]
    assert not rest.next_page_token


REFUSED = {
    "a domain beyond the policy": ({"allowed_domains": ["evil.test"]}, "evil.test is not within the policy"),
    "a domain nobody may write": ({"allowed_domains": ["*.com"]}, "*.com"),
    "a socket elsewhere": ({"egress_socket": "/tmp/egress.sock"}, "is not under"),
    "no socket to the world": ({"egress_socket": ""}, "egress_socket is empty"),
    "no mode": ({"network_mode": 0}, "network_mode"),
}


@pytest.mark.parametrize(("fields", "why"), REFUSED.values(), ids=REFUSED)
def test_a_door_that_may_not_be_is_refused_with_its_mend(gate: Any, door: Any, fields: Any, why: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        gate.OpenDoor(pb.OpenDoorRequest(door=door(**fields)))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert why in refused.value.details()
    assert not gate.ListDoors(pb.ListDoorsRequest()).doors


def test_what_is_not_there_or_is_another_is_said(gate: Any, door: Any) -> None:
    with pytest.raises(grpc.RpcError) as missing:
        gate.UpdateDoor(pb.UpdateDoorRequest(door=door("sb-none")))
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND
    gate.OpenDoor(pb.OpenDoorRequest(door=door()))
    with pytest.raises(grpc.RpcError) as another:
        gate.OpenDoor(pb.OpenDoorRequest(door=door(agent="bob")))
    assert another.value.code() is grpc.StatusCode.ALREADY_EXISTS
    with pytest.raises(grpc.RpcError) as immutable:
        gate.UpdateDoor(pb.UpdateDoorRequest(door=door(), update_mask=FieldMask(paths=["agent"])))
    assert immutable.value.code() is grpc.StatusCode.INVALID_ARGUMENT
