"""`kill -9` at any moment leaves no orphan and loses no running sandbox."""

import random
import statistics
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from stockade.sandbox.v1 import sandbox_pb2, sandbox_service_pb2

from support.census import at_peace, container_ids, listed, listeners, remains
from support.counting import Counting, churn
from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, served_sandboxes

pytestmark = pytest.mark.docker

RECOVERY_SECONDS = 2.0


@pytest.fixture
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service of the test's own, to kill."""
    with served_sandboxes(engine) as running:
        yield running


def test_running_sandboxes_outlive_the_service(served: ServedSandboxes) -> None:
    ada = served.operator()
    running, paused = ada.create(), ada.create()
    ada.sandboxes.PauseSandbox(sandbox_service_pb2.PauseSandboxRequest(name=paused.name))
    ada.run(running.name, "sh", "-c", "echo kept > /workspace/kept")
    served.kill()
    served.start()
    ada = served.operator()
    eventually(lambda: _runs(ada, running.name), seconds=RECOVERY_SECONDS)
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


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_a_kill_at_any_moment_leaves_no_orphan(kills: int, served: ServedSandboxes) -> None:
    kept = served.operator().create()
    output = Counting(served.operator(), kept.name)
    chance = random.Random(20)
    recovered_after = []
    made = set()
    for _ in range(kills):
        churners = [threading.Thread(target=churn, args=(served.operator(),)) for _ in range(3)]
        for churner in churners:
            churner.start()
        time.sleep(chance.uniform(0.05, 0.6))
        served.kill()
        for churner in churners:
            churner.join()
        made |= container_ids(served)
        served.start()
        serving = time.monotonic()
        ada = served.operator()
        eventually(lambda ada=ada: _runs(ada, kept.name), seconds=10)
        recovered_after.append(time.monotonic() - serving)
        output.read_on(ada)
        eventually(lambda: at_peace(served, listed(served.operator())), seconds=10)
        assert kept.name in listed(ada)
        for name in listed(ada) - {kept.name}:
            ada.delete(name)
    assert statistics.median(recovered_after) < RECOVERY_SECONDS, recovered_after
    assert eventually(lambda: at_peace(served, {kept.name}))
    assert listeners(served) == [kept.name]
    gone = made - container_ids(served)
    assert len(gone) > kills
    assert eventually(lambda: not remains(gone)), remains(gone)


def test_parts_that_belong_to_nobody_are_removed(served: ServedSandboxes) -> None:
    served.stop()
    (served.state_dir / "sandbox/disks/sb-strangerimage.img").write_bytes(b"")
    (served.run_dir / "sb/sb-strangersocket").mkdir()
    (served.run_dir / "sandbox/identity/sb-strangernames").mkdir()
    served.start()
    assert eventually(lambda: at_peace(served, set()))


def _runs(caller: Caller, name: str) -> bool:
    try:
        return bool(caller.run(name, "true").ending.exit_code == 0)
    except grpc.RpcError:
        return False
