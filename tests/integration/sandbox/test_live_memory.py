"""Live memory: kept, gone on from, and forked, each copy a sandbox of its own."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from stockade.sandbox.v1 import exec_service_pb2, sandbox_pb2
from stockade.sandbox.v1 import sandbox_service_pb2 as pb

from support import tiers
from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, refused, served_sandboxes

pytestmark = pytest.mark.docker

MIB = 1 << 20
COUNT = """
import time
kept = {"secret of the program": 7}
for number in range(10**6):
    print(number, kept["secret of the program"], flush=True)
    open("/tmp/count", "w").write(str(number))
    time.sleep(0.05)
"""
HOLD = """
import os, socket, time
gate = socket.socket(socket.AF_UNIX)
gate.connect("/run/stockade/gate.sock")
while not os.path.exists("let-go"): time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service of the GVISOR tier whose operators may have four sandboxes each."""
    tiers.require("GVISOR", engine)
    with served_sandboxes(engine, tiers="GVISOR", sandboxes_per_owner=4) as running:
        yield running


@pytest.fixture
def ada(served: ServedSandboxes) -> Iterator[Caller]:
    caller = served.operator()
    yield caller
    caller = served.operator()
    for sandbox in caller.sandboxes.ListSandboxes(pb.ListSandboxesRequest()).sandboxes:
        caller.delete(sandbox.name)
    for snapshot in caller.sandboxes.ListSnapshots(pb.ListSnapshotsRequest()).snapshots:
        caller.sandboxes.DeleteSnapshot(pb.DeleteSnapshotRequest(name=snapshot.name))


def counting(caller: Caller, **fields: Any) -> tuple[str, str]:
    """A sandbox in which a program counts, and its exec."""
    name = caller.create(limits={"memory_bytes": 256 * MIB, "disk_bytes": 32 * MIB}, **fields).name
    start = {"sandbox": name, "command": {"args": ["python3", "-c", COUNT]}, "detach_on_cancel": True}
    call = caller.execs.Exec(iter([exec_service_pb2.ExecRequest(start=start)]))
    exec_id = next(call).started.exec
    eventually(lambda: count(caller, name) > 3)
    call.cancel()
    return name, exec_id


def count(caller: Caller, sandbox: str) -> int:
    """How far its program has counted."""
    return int(caller.run(sandbox, "cat", "/tmp/count").stdout or b"0")


def take(caller: Caller, name: str) -> sandbox_pb2.Snapshot:
    return caller.sandboxes.CreateSnapshot(pb.CreateSnapshotRequest(name=name, with_memory=True)).snapshot


def restore(caller: Caller, snapshot: str) -> sandbox_pb2.Sandbox:
    return caller.sandboxes.RestoreSandbox(pb.RestoreSandboxRequest(snapshot=snapshot)).sandbox


def secrets(served: ServedSandboxes, name: str) -> set[str]:
    """What proves its supervisor now."""
    return set(json.loads((served.run_dir / "sandbox/secrets" / name).read_text()))


def test_a_restored_sandbox_goes_on_from_where_it_was(ada: Caller, served: ServedSandboxes) -> None:
    name, exec_id = counting(ada)
    ada.run(name, "sh", "-c", "echo before > file")
    snapshot = take(ada, name)
    assert snapshot.with_memory
    assert snapshot.tier == sandbox_pb2.TIER_GVISOR
    assert snapshot.size_bytes > 4 * MIB
    at = count(ada, name)
    ada.run(name, "sh", "-c", "echo after > file")
    eventually(lambda: count(ada, name) > at)  # it runs on

    ada.delete(name)
    restored = restore(ada, snapshot.name)
    assert (restored.name != name, restored.agent, restored.tier) == (True, "agent-1", sandbox_pb2.TIER_GVISOR)
    begun = count(ada, restored.name)
    assert begun > 3
    eventually(lambda: count(ada, restored.name) > begun)
    assert ada.run(restored.name, "cat", "file", "/etc/hostname").stdout == f"before\n{restored.name}\n".encode()
    assert _attached_output(ada, restored.name, exec_id).split(b"\n")[-2].endswith(b" 7")
    ada.execs.CancelExec(exec_service_pb2.CancelExecRequest(sandbox=restored.name, exec=exec_id))
    stopped = eventually(lambda: count(ada, restored.name))
    assert count(ada, restored.name) == stopped
    ada.sandboxes.DeleteSnapshot(pb.DeleteSnapshotRequest(name=snapshot.name))
    assert not list((served.state_dir / "sandbox/memories").iterdir())


def test_forks_are_sandboxes_of_their_own(ada: Caller, served: ServedSandboxes) -> None:
    name, _ = counting(ada, env={"FLAVOUR": "plain"}, labels={"job": "7"})
    ada.run(name, "sh", "-c", "echo before > file")
    request = pb.ForkSandboxRequest(name=name, count=2, request_id="fork-1")
    forks = ada.sandboxes.ForkSandbox(request).sandboxes
    assert [fork.name for fork in ada.sandboxes.ForkSandbox(request).sandboxes] == [fork.name for fork in forks]
    family = [name, *(fork.name for fork in forks)]
    assert len(set(family)) == 3
    for number, member in enumerate(family):
        ada.run(member, "sh", "-c", f"echo {number} >> file")
    eventually(lambda: all(count(ada, member) > 3 for member in family))
    for number, member in enumerate(family):
        assert ada.run(member, "cat", "file").stdout == f"before\n{number}\n".encode()
    for fork in forks:
        assert (fork.agent, dict(fork.labels), fork.state) == (
            "agent-1",
            {"job": "7"},
            sandbox_pb2.SANDBOX_STATE_RUNNING,
        )
        assert ada.run(fork.name, "sh", "-c", "echo $FLAVOUR").stdout == b"plain\n"
    eventually(lambda: all(len(secrets(served, member)) == 1 for member in family))
    assert len({secret for member in family for secret in secrets(served, member)}) == 3
    assert not list((served.state_dir / "sandbox/memories").iterdir())
    assert not list((served.state_dir / "sandbox/snapshots").iterdir())


@pytest.mark.long
def test_all_forks_or_none(ada: Caller, served: ServedSandboxes) -> None:
    name, _ = counting(ada)
    found = refused(lambda: ada.sandboxes.ForkSandbox(pb.ForkSandboxRequest(name=name, count=4)))
    assert found["reason"] == "QUOTA_EXCEEDED"
    assert [each.name for each in ada.sandboxes.ListSandboxes(pb.ListSandboxesRequest()).sandboxes] == [name]
    assert served.containers() == {name}


def test_an_open_connection_to_the_host_is_told(ada: Caller, served: ServedSandboxes) -> None:
    name, _ = counting(ada)
    with socket.socket(socket.AF_UNIX) as gate:
        place = served.run_dir / "sb" / name / "gate.sock"
        gate.bind(str(place))
        place.chmod(0o666)
        gate.listen()
        ada.run(name, "sh", "-c", f"python3 -c '{HOLD}' > /dev/null 2>&1 & sleep 0.7")
        found = refused(lambda: take(ada, name))
    assert (found["code"], found["reason"]) == ("FAILED_PRECONDITION", "SOCKETS_OPEN")
    assert "end the program" in found["message"]
    at = count(ada, name)
    eventually(lambda: count(ada, name) > at)  # nothing was lost
    ada.run(name, "sh", "-c", "touch let-go; sleep 0.3")
    assert take(ada, name).with_memory
    assert len(list((served.state_dir / "sandbox/memories").iterdir())) == 1


def test_one_that_stands_still_cannot_let_go_of_its_connections(ada: Caller) -> None:
    name, _ = counting(ada)
    ada.sandboxes.PauseSandbox(pb.PauseSandboxRequest(name=name))
    assert refused(lambda: take(ada, name))["reason"] == "SANDBOX_NOT_RUNNING"


@pytest.mark.long
def test_what_was_half_kept_is_removed_and_the_rest_outlives_the_service(ada: Caller, served: ServedSandboxes) -> None:
    name, _ = counting(ada)
    snapshot = take(ada, name)
    half = served.state_dir / "sandbox/memories/sn-halfmadehalf"
    half.mkdir()
    served.kill()
    served.start()
    caller = served.operator()
    assert not half.exists()
    health = pb.GetSandboxHealthRequest(name=name)
    eventually(lambda: caller.sandboxes.GetSandboxHealth(health).state == sandbox_pb2.HEALTH_STATE_HEALTHY)
    at = count(caller, name)
    eventually(lambda: count(caller, name) > at)
    restored = restore(caller, snapshot.name)
    eventually(lambda: count(caller, restored.name) > 3)


def _attached_output(caller: Caller, sandbox: str, exec_id: str) -> bytes:
    """What an exec has written that is still there, and a little of what it writes now."""
    attach = exec_service_pb2.AttachExecRequest(attach={"sandbox": sandbox, "exec": exec_id})
    call, until, found = caller.execs.AttachExec(iter([attach])), time.monotonic() + 0.5, b""
    for response in call:
        found += response.stdout.data if response.HasField("stdout") else b""
        if time.monotonic() > until and found.endswith(b"\n"):
            break
    call.cancel()
    return found
