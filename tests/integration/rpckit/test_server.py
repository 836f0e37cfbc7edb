"""A service as a process: it says when it serves, drains on SIGTERM, and ends with one line when it cannot start."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support.probe import messages, stubs

PROGRAM = Path(__file__).parents[2] / "support" / "probe_service.py"


class Process:
    """One probe process and a channel to it."""

    def __init__(self, run_dir: Path, state_dir: Path, **settings: str) -> None:
        environment = {
            "STOCKADE_PROBE_RUN_DIR": str(run_dir),
            "STOCKADE_PROBE_STATE_DIR": str(state_dir),
            "STOCKADE_PROBE_DRAIN_SECONDS": "2",
            **{f"STOCKADE_PROBE_{name.upper()}": value for name, value in settings.items()},
        }
        self.socket = run_dir / "operators" / "ada" / "probe.sock"
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def serving(self) -> grpc.Channel:
        """A channel, once the health service says SERVING."""
        channel = grpc.insecure_channel(f"unix:{self.socket}")
        request = health_pb2.HealthCheckRequest(service="probe.v1.Probe")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, wait_for_ready=True, timeout=15)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        return channel

    def end(self) -> tuple[int, str, str]:
        """SIGTERM, then (exit status, stdout, stderr)."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> tuple[int, str, str]:
        """(exit status, stdout, stderr) of a process that ends by itself."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "run" / "operators" / "ada").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def probe(place: Path) -> Iterator[Process]:
    process = Process(place / "run", place / "state")
    yield process
    process.process.kill()
    process.process.wait()


def test_it_serves_health_and_reflection_and_leaves_no_socket(probe: Process) -> None:
    with probe.serving() as channel:
        assert "probe.v1.Probe" in ProtoReflectionDescriptorDatabase(channel).get_services()
    status, out, err = probe.end()
    assert status == 0
    assert out == "drained\n"
    assert not probe.socket.exists()
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines] == ["serving", "stopped"]


def test_a_call_in_flight_is_let_finish(probe: Process) -> None:
    with probe.serving() as channel:
        stub = stubs.ProbeStub(channel)
        release = threading.Event()

        def asks() -> Iterator[object]:
            yield messages.Ask(name="ada")
            release.wait(5)

        answers = stub.ManyMany(asks(), timeout=10)
        assert next(answers).text == "hello ada"
        probe.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        release.set()
        assert list(answers) == []
    assert probe.ended()[0] == 0


def test_background_work_that_fails_ends_the_process(place: Path) -> None:
    status, _, err = Process(place / "run", place / "state", crash_after="0.1").ended()
    assert status == 1
    assert "background work ended" in err


def test_a_second_one_on_the_same_sockets_says_so(probe: Process, place: Path) -> None:
    probe.serving().close()
    status, _, err = Process(place / "run", place / "state2").ended()
    assert status == 2
    assert "is already served by another process; stop it, or choose another run_dir" in err
    assert "Traceback" not in err
    probe.serving().close()


@pytest.mark.parametrize(
    ("directory", "line"),
    [
        ("empty", "has no directory to listen in; `stockade up` prepares them"),
        ("operators/" + "x" * 100, "is longer than the 107 bytes of a socket's path; choose a shorter run_dir"),
    ],
)
def test_it_cannot_start_without_a_place_to_listen(tmp_path: Path, directory: str, line: str) -> None:
    (tmp_path / "run" / directory).mkdir(parents=True)
    status, _, err = Process(tmp_path / "run", tmp_path / "state").ended()
    assert status == 2
    assert line in err
    assert "Traceback" not in err


def test_a_socket_left_by_a_killed_process_is_taken_over(place: Path) -> None:
    killed = Process(place / "run", place / "state")
    killed.serving().close()
    killed.process.kill()
    killed.process.wait()
    assert killed.socket.exists()
    again = Process(place / "run", place / "state")
    again.serving().close()
    assert again.end()[0] == 0
