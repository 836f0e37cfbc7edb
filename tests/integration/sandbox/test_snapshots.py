"""A snapshot holds a sandbox's files as they were, and makes new sandboxes with them."""

import pytest
from stockade.sandbox.v1 import sandbox_pb2
from stockade.sandbox.v1 import sandbox_service_pb2 as pb

from support.sandbox_service import Caller, ServedSandboxes, refused

pytestmark = pytest.mark.docker

MIB = 1 << 20


def test_a_restored_sandbox_has_the_files_and_is_another(ada: Caller, served: ServedSandboxes) -> None:
    first = ada.create(limits={"disk_bytes": 32 * MIB, "pids": 32})
    ada.run(first.name, "sh", "-c", "mkdir -p d && echo before > d/f && ln -s d/f link && mkfifo pipe")
    snapshot = ada.sandboxes.CreateSnapshot(pb.CreateSnapshotRequest(name=first.name)).snapshot
    assert (snapshot.sandbox, snapshot.agent, snapshot.with_memory) == (first.name, first.agent, False)
    assert 0 < snapshot.size_bytes < 32 * MIB
    ada.run(first.name, "sh", "-c", "echo after > d/f")
    restored = [_restore(ada, snapshot.name) for _ in range(2)]
    ada.delete(first.name)
    for sandbox in restored:
        assert sandbox.name != first.name
        assert (sandbox.agent, sandbox.limits) == (first.agent, first.limits)
        assert ada.run(sandbox.name, "cat", "link").stdout == b"before\n"
        kept_in_memory = served.tier == "GVISOR"  # its kernel keeps pipes to itself
        done = ada.run(sandbox.name, "sh", "-c", "echo mine >> d/f && rm pipe")
        assert (done.ending.exit_code == 0) is not kept_in_memory
    uids = {served.engine.docker("inspect", "--format", "{{.Config.User}}", each.name) for each in restored}
    assert len(uids) == 2
    for sandbox in restored:
        ada.delete(sandbox.name)
    ada.sandboxes.DeleteSnapshot(pb.DeleteSnapshotRequest(name=snapshot.name))


def test_a_paused_sandbox_stays_paused_and_a_running_one_runs(ada: Caller) -> None:
    sandbox = ada.create()
    ada.sandboxes.CreateSnapshot(pb.CreateSnapshotRequest(name=sandbox.name))
    assert ada.run(sandbox.name, "true").ending.exit_code == 0
    ada.sandboxes.PauseSandbox(pb.PauseSandboxRequest(name=sandbox.name))
    ada.sandboxes.CreateSnapshot(pb.CreateSnapshotRequest(name=sandbox.name))
    assert ada.get(sandbox.name).state == sandbox_pb2.SANDBOX_STATE_PAUSED
    ada.delete(sandbox.name)
    found = ada.sandboxes.ListSnapshots(pb.ListSnapshotsRequest(sandbox=sandbox.name)).snapshots
    assert len(found) == 2
    for snapshot in found:
        ada.sandboxes.DeleteSnapshot(pb.DeleteSnapshotRequest(name=snapshot.name))


def test_snapshots_outlive_the_service_and_half_made_ones_do_not(ada: Caller, served: ServedSandboxes) -> None:
    sandbox = ada.create()
    snapshot = ada.sandboxes.CreateSnapshot(pb.CreateSnapshotRequest(name=sandbox.name)).snapshot
    ada.delete(sandbox.name)
    half = served.state_dir / "sandbox/snapshots/sn-halfmadehalf.img"
    half.write_bytes(b"")
    served.kill()
    served.start()
    ada = served.operator()
    assert not half.exists()
    assert list(ada.sandboxes.ListSnapshots(pb.ListSnapshotsRequest()).snapshots) == [snapshot]
    ada.delete(_restore(ada, snapshot.name).name)
    ada.sandboxes.DeleteSnapshot(pb.DeleteSnapshotRequest(name=snapshot.name))
    assert not list((served.state_dir / "sandbox/snapshots").iterdir())
    assert refused(lambda: _restore(ada, snapshot.name))["reason"] == "SNAPSHOT_NOT_FOUND"


def test_live_memory_is_refused_with_its_mend(ada: Caller, served: ServedSandboxes) -> None:
    if served.tier == "GVISOR":
        pytest.skip("this tier keeps it: test_live_memory.py")
    name = ada.create().name
    calls = {
        "snapshot": lambda: ada.sandboxes.CreateSnapshot(pb.CreateSnapshotRequest(name=name, with_memory=True)),
        "fork": lambda: ada.sandboxes.ForkSandbox(pb.ForkSandboxRequest(name=name, count=2)),
    }
    for what, call in calls.items():
        found = refused(call)
        assert (found["code"], found["reason"]) == ("FAILED_PRECONDITION", "TIER_UNAVAILABLE"), what
        assert "snapshot of the files" in found["message"]
    ada.delete(name)


def _restore(caller: Caller, snapshot: str) -> sandbox_pb2.Sandbox:
    return caller.sandboxes.RestoreSandbox(pb.RestoreSandboxRequest(snapshot=snapshot)).sandbox
