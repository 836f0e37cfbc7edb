"""`kill -9` at any moment leaves no orphan and loses no running sandbox."""

import contextlib
import random
import statistics
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from stockade.sandbox.v1 import exec_service_pb2, sandbox_pb2, sandbox_service_pb2

from support.census import at_peace, container_ids, listed, listeners, remains
from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, served_sandboxes

pytestmark = pytest.mark.docker

COUNT = "i=0; while :; do echo $i; i=$((i + 1)); sleep 0.05; done"
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
        churners = [threading.Thread(target=_churn, args=(served.operator(),)) for _ in range(3)]
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


class Counting:
    """A program that counts, whose caller comes again after each restart and misses no number."""

    def __init__(self, caller: Caller, sandbox: str) -> None:
        start = {
            "sandbox": sandbox,
            "command": {"args": ("sh", "-c", COUNT), "timeout": {"seconds": 3600}},
            "detach_on_cancel": True,
        }
        call = caller.execs.Exec(iter([exec_service_pb2.ExecRequest(start=start)]))
        self._attach = {"sandbox": sandbox, "exec": next(call).started.exec}
        self._seen = b""
        call.cancel()

    def read_on(self, caller: Caller) -> None:
        """Reads from where it left off until a new number has come; all numbers so far come one after another."""
        attach = {**self._attach, "offset": len(self._seen)}
        call = caller.execs.AttachExec(iter([exec_service_pb2.AttachExecRequest(attach=attach)]), timeout=20)
        before = len(self._seen)
        for event in call:
            assert not event.HasField("gap"), event
            assert not event.HasField("ended"), event
            self._seen += event.stdout.data
            if self._seen[before:].count(b"\n") > 1:
                break
        call.cancel()
        numbers = [int(line) for line in self._seen.splitlines()[:-1]]
        assert numbers == list(range(len(numbers)))


def _churn(caller: Caller) -> None:
    with contextlib.suppress(grpc.RpcError):
        while True:
            caller.delete(caller.create().name)


def _runs(caller: Caller, name: str) -> bool:
    try:
        return bool(caller.run(name, "true").ending.exit_code == 0)
    except grpc.RpcError:
        return False
