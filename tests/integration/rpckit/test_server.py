"""A service as a process: it says when it serves, drains on SIGTERM, and ends with one line when it cannot start."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support.probe import messages, stubs
from support.probe_process import ProbeProcess


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "run" / "operators" / "ada").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def probe(place: Path) -> Iterator[ProbeProcess]:
    process = ProbeProcess(place / "run", place / "state")
    yield process
    process.process.kill()
    process.process.wait()


def test_it_serves_health_and_reflection_and_leaves_no_socket(probe: ProbeProcess) -> None:
    with probe.serving() as channel:
        assert "probe.v1.Probe" in ProtoReflectionDescriptorDatabase(channel).get_services()
    status, out, err = probe.end()
    assert status == 0
    assert out == "drained\n"
    assert not probe.socket.exists()
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines] == ["serving", "stopped"]


def test_a_call_in_flight_is_let_finish(probe: ProbeProcess) -> None:
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
    status, _, err = ProbeProcess(place / "run", place / "state", crash_after="0.1").ended()
    assert status == 1
    assert "background work ended" in err


def test_a_second_one_on_the_same_sockets_says_so(probe: ProbeProcess, place: Path) -> None:
    probe.serving().close()
    status, _, err = ProbeProcess(place / "run", place / "state2").ended()
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
    status, _, err = ProbeProcess(tmp_path / "run", tmp_path / "state").ended()
    assert status == 2
    assert line in err
    assert "Traceback" not in err


def test_a_socket_left_by_a_killed_process_is_taken_over(place: Path) -> None:
    killed = ProbeProcess(place / "run", place / "state")
    killed.serving().close()
    killed.process.kill()
    killed.process.wait()
    assert killed.socket.exists()
    again = ProbeProcess(place / "run", place / "state")
    again.serving().close()
    assert again.end()[0] == 0
