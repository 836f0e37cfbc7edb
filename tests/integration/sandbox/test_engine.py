"""The project's own engine: found, started, killed and ended; what runs on it outlives its daemon."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from stockade.sandbox.v1 import sandbox_pb2

from support.census import at_peace, container_ids, listed, listeners, remains
from support.counting import Counting, churn
from support.engine import AGENT_IMAGE, ROOT, EngineInUse
from support.sandbox_service import eventually, mounts_below, refused, served_sandboxes

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class OwnEngine:
    """An engine beside the one that the other tests use."""

    root: Path

    @property
    def run_dir(self) -> Path:
        return self.root / "run"

    @property
    def pid(self) -> int:
        return int((self.run_dir / "docker.pid").read_text())

    def script(self, command: str) -> subprocess.CompletedProcess[str]:
        places = {
            "STOCKADE_ENGINE_RUN_DIR": str(self.run_dir),
            "STOCKADE_ENGINE_DATA_DIR": str(self.root / "data"),
            "DOCKER_HOST": f"unix://{self.run_dir}/docker.sock",
        }
        command_line = [ROOT / "deploy/host/engine", command]
        return subprocess.run(command_line, env=os.environ | places, capture_output=True, text=True, timeout=90)


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    with tempfile.TemporaryDirectory(prefix="stke-") as directory:
        found = OwnEngine(Path(directory))
        try:
            yield found
        finally:
            found.script("stop")


def test_it_starts_is_found_again_and_leaves_nothing(own: OwnEngine) -> None:
    address = f"unix://{own.run_dir}/docker.sock"
    first = own.script("start")
    assert (first.returncode, first.stdout.strip()) == (0, address), first.stderr
    began = time.monotonic()
    assert own.script("start").stdout.strip() == own.script("status").stdout.strip() == address
    assert time.monotonic() - began < 2
    engine = EngineInUse(address)
    assert engine.docker("info", "--format", "{{.LiveRestoreEnabled}} {{.DockerRootDir}}") == f"true {own.root}/data"
    pid = own.pid
    assert own.script("stop").returncode == 0
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
    assert not mounts_below(own.root)
    assert not own.run_dir.exists()
    assert not _processes_of(own)
    assert own.script("stop").returncode == 0  # again is no error


def test_sandboxes_outlive_a_daemon_killed_under_churn(own: OwnEngine, engine: EngineInUse) -> None:
    address = own.script("start").stdout.strip()
    image = subprocess.Popen(["docker", "--host", engine.address, "save", AGENT_IMAGE], stdout=subprocess.PIPE)
    subprocess.run(["docker", "--host", address, "load", "--quiet"], stdin=image.stdout, check=True, timeout=100)
    with served_sandboxes(EngineInUse(address)) as served:
        ada = served.operator()
        kept, died = ada.create(), ada.create()
        output = Counting(ada, kept.name)
        victim = int(EngineInUse(address).docker("inspect", "--format", "{{.State.Pid}}", died.name))
        churners = [threading.Thread(target=churn, args=(served.operator(),)) for _ in range(2)]
        for churner in churners:
            churner.start()
        eventually(lambda: len(container_ids(served)) > 2, seconds=20)
        made = container_ids(served)
        os.kill(own.pid, signal.SIGKILL)
        os.kill(victim, signal.SIGKILL)
        for churner in churners:
            churner.join()
        assert refused(ada.create)["reason"] == "ENGINE_UNAVAILABLE"
        output.read_on(ada)
        assert own.script("start").returncode == 0
        back = time.monotonic()
        lost = eventually(lambda: (found := ada.get(died.name)).end_time.seconds and found, seconds=15)
        assert lost.state == sandbox_pb2.SANDBOX_STATE_LOST
        output.read_on(ada)
        assert ada.delete(ada.create().name).state == sandbox_pb2.SANDBOX_STATE_ENDED
        assert time.monotonic() - back < 10
        made |= container_ids(served)
        eventually(lambda: at_peace(served, listed(ada)), seconds=15)
        assert kept.name in listed(ada)
        for name in listed(ada):
            assert ada.delete(name).state == sandbox_pb2.SANDBOX_STATE_ENDED
        assert at_peace(served, set())
        assert listeners(served) == []
        with suppress(AssertionError):
            eventually(lambda: not remains(made), seconds=15)
        assert remains(made) == []
    own.script("stop")
    assert not _processes_of(own)


def _processes_of(own: OwnEngine) -> list[str]:
    """Command lines that name the engine's directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(own.root) in command:
            found.append(command)
    return found
