"""`kill -9` at any moment leaves no orphan and loses no running sandbox."""

import contextlib
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from stockade.sandbox.v1 import sandbox_pb2, sandbox_service_pb2

from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, mounts_below, served_sandboxes

pytestmark = pytest.mark.docker


@pytest.fixture
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service of the test's own, to kill."""
    with served_sandboxes(engine) as running:
        yield running


def census(served: ServedSandboxes) -> dict[str, set[str]]:
    """Every kind of thing that exists of a sandbox, by the sandbox's name."""
    return {
        "containers": served.containers(),
        "mounts": {Path(mount).name for mount in mounts_below(served.root)},
        "images": {path.stem for path in (served.state_dir / "sandbox/disks").iterdir()},
        "loops": {Path(line).stem for line in _loops().splitlines() if str(served.root) in line},
        "mount points": {path.name for path in (served.run_dir / "sandbox/disks").iterdir()},
        "identities": {path.name for path in (served.run_dir / "sandbox/identity").iterdir()},
        "sockets": {path.parent.name for path in (served.run_dir / "sb").glob("*/control.sock")},
        "directories": {path.name for path in (served.run_dir / "sb").iterdir()},
        "listed": _listed(served.operator()),
    }


def _loops() -> str:
    return subprocess.run(["losetup", "--noheadings", "--output", "BACK-FILE"], capture_output=True, text=True).stdout


def _listed(caller: Caller) -> set[str]:
    found = caller.sandboxes.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest()).sandboxes
    return {sandbox.name for sandbox in found}


def at_peace(served: ServedSandboxes, names: set[str]) -> bool:
    """Whether exactly `names` exist, each whole."""
    return all(found == names for found in census(served).values())


def test_running_sandboxes_outlive_the_service(served: ServedSandboxes) -> None:
    ada = served.operator()
    running, paused = ada.create(), ada.create()
    ada.sandboxes.PauseSandbox(sandbox_service_pb2.PauseSandboxRequest(name=paused.name))
    ada.run(running.name, "sh", "-c", "echo kept > /workspace/kept")
    served.kill()
    started = time.monotonic()
    served.start()
    ada = served.operator()
    eventually(lambda: _runs(ada, running.name), seconds=2 - (time.monotonic() - started) + 1)
    assert ada.run(running.name, "cat", "/workspace/kept").stdout == b"kept\n"
    assert ada.get(running.name).state == sandbox_pb2.SANDBOX_STATE_RUNNING
    assert ada.get(paused.name).state == sandbox_pb2.SANDBOX_STATE_PAUSED
    ada.sandboxes.ResumeSandbox(sandbox_service_pb2.ResumeSandboxRequest(name=paused.name))
    eventually(lambda: _runs(ada, paused.name))
    assert at_peace(served, {running.name, paused.name})


def test_what_died_meanwhile_is_lost(served: ServedSandboxes) -> None:
    ada = served.operator()
    killed, removed = ada.create(), ada.create()
    served.kill()
    served.engine.docker("kill", killed.name)
    served.engine.docker("rm", "--force", removed.name)
    served.start()
    ada = served.operator()
    for name, reason in ((killed.name, "KILLED"), (removed.name, "REMOVED")):
        lost = eventually(lambda name=name: (found := ada.get(name)).end_time.seconds and found)
        assert lost.state == sandbox_pb2.SANDBOX_STATE_LOST
        assert lost.state_reason == sandbox_pb2.StateReason.Value(f"STATE_REASON_{reason}")
    assert at_peace(served, set())


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_kill_at_any_moment_leaves_no_orphan(kills: int, served: ServedSandboxes) -> None:
    kept = served.operator().create()
    chance = random.Random(20)
    for _ in range(kills):
        churners = [threading.Thread(target=_churn, args=(served.operator(),)) for _ in range(3)]
        for churner in churners:
            churner.start()
        time.sleep(chance.uniform(0.05, 0.6))
        served.kill()
        for churner in churners:
            churner.join()
        served.start()
        eventually(lambda: at_peace(served, _listed(served.operator())), seconds=10)
        ada = served.operator()
        assert kept.name in _listed(ada)
        for name in _listed(ada) - {kept.name}:
            ada.delete(name)
    assert eventually(lambda: at_peace(served, {kept.name}))
    eventually(lambda: _runs(served.operator(), kept.name), seconds=3)


def test_parts_that_belong_to_nobody_are_removed(served: ServedSandboxes) -> None:
    served.stop()
    (served.state_dir / "sandbox/disks/sb-strangerimage.img").write_bytes(b"")
    (served.run_dir / "sb/sb-strangersocket").mkdir()
    (served.run_dir / "sandbox/identity/sb-strangernames").mkdir()
    served.start()
    assert eventually(lambda: at_peace(served, set()))


def _churn(caller: Caller) -> None:
    with contextlib.suppress(grpc.RpcError):
        while True:
            caller.delete(caller.create().name)


def _runs(caller: Caller, name: str) -> bool:
    try:
        return bool(caller.run(name, "true").ending.exit_code == 0)
    except grpc.RpcError:
        return False
