"""`stockade up`, `status` and `down` on a real stack of its own: what runs as whom, what comes back, what is left."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.stack import Stack, placed_stack, running_stack

pytestmark = [pytest.mark.docker, pytest.mark.gate, pytest.mark.skipif(os.geteuid() != 0, reason="a stack needs root")]

PROCESSES = ["audit", "policy", "gate", "cache", "sandbox"]


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    """A stack that these tests may break."""
    with running_stack() as running:
        yield running


def status(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.stockade("status", "--json").stdout)
    return found


def process(stack: Stack, name: str) -> dict[str, Any]:
    return next(each for each in status(stack)["processes"] if each["name"] == name)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)


def credentials(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: line.split(":")[1].split() for line in lines}


def test_all_serve_in_the_order_in_which_they_need_each_other(own: Stack) -> None:
    found = status(own)
    assert found["running"] is True
    assert [each["name"] for each in found["processes"]] == PROCESSES
    assert {each["state"] for each in found["processes"]} == {"serving"}


def test_status_for_people(own: Stack) -> None:
    done = own.stockade("status")
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:6]] == [[name, "serving"] for name in PROCESSES]


@pytest.mark.parametrize("name", ["audit", "policy", "gate", "cache"])
def test_a_process_has_a_uid_of_its_own_and_no_capability(own: Stack, name: str) -> None:
    held = credentials(process(own, name)["pid"])
    base = int(own.environment["STOCKADE_STACK_UID_BASE"])
    assert base < int(held["Uid"][0]) < base + 10
    assert held["CapBnd"] == held["CapEff"] == ["0000000000000000"]
    assert held["NoNewPrivs"] == ["1"]


def test_no_two_processes_share_a_uid(own: Stack) -> None:
    uids = [credentials(each["pid"])["Uid"][0] for each in status(own)["processes"]]
    assert len(set(uids)) == len(PROCESSES)


def test_the_gate_can_enter_its_own_directory_only(own: Stack) -> None:
    base = int(own.environment["STOCKADE_STACK_UID_BASE"])
    person = own.stockade("status").returncode == 0 and next((own.run_dir / "operators").iterdir())
    for directory in (own.run_dir / "services", person, own.state_dir / "audit", own.state_dir / "policy"):
        as_gate = ["setpriv", f"--reuid={base + 4}", f"--regid={base + 4}", "--clear-groups", "ls", str(directory)]
        assert subprocess.run(as_gate, check=False, capture_output=True).returncode != 0, directory


def test_a_killed_process_comes_back(own: Stack) -> None:
    before = process(own, "cache")
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: process(own, "cache")["restarts"] == before["restarts"] + 1)
    until(lambda: process(own, "cache")["state"] == "serving")
    assert process(own, "cache")["pid"] != before["pid"]


def test_a_path_without_the_programs_of_root_is_no_hindrance() -> None:
    with running_stack(PATH="/usr/bin:/bin") as own:
        done = own.run("true")
        assert done.returncode == 0, done.stderr
        assert json.loads((own.run_dir / "stack.json").read_text())["firewall"]


def test_a_second_stack_in_the_same_place_is_refused(own: Stack) -> None:
    done = own.stockade("up")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "already runs" in done.stderr
    assert "stockade down" in done.stderr


def test_doctor_finds_nothing_that_keeps_a_stack_from_running(own: Stack) -> None:
    done = own.stockade("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert {finding["check"] for finding in json.loads(done.stdout)} >= {"engine", "kernel", "envoy", "disk", "stack"}


def test_logs_are_json_lines(own: Stack) -> None:
    for name in PROCESSES:
        for line in (own.state_dir / "logs" / f"{name}.log").read_text().splitlines():
            assert isinstance(json.loads(line), dict)


def test_down_leaves_nothing() -> None:
    with running_stack() as own:
        pids = [each["pid"] for each in status(own)["processes"]]
        table = f"stockade_gate_{int(own.environment['STOCKADE_STACK_UID_BASE']) + 4}"
        assert table in subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout
        done = own.stockade("down")
        assert done.returncode == 0, done.stderr
        assert not own.run_dir.exists()
        assert not any(runs(pid) for pid in pids)
        assert str(own.run_dir) not in Path("/proc/self/mounts").read_text()
        assert table not in subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout
        assert own.stockade("status").returncode == 3
        assert "nothing runs" in own.stockade("down").stderr


def test_down_after_the_supervisor_was_killed_leaves_nothing_either() -> None:
    with running_stack() as own:
        found = status(own)
        os.kill(found["pid"], signal.SIGKILL)
        until(lambda: not any(runs(each["pid"]) for each in found["processes"]))
        done = own.stockade("down")
        assert done.returncode == 0, done.stderr
        assert not own.run_dir.exists()


def test_down_without_a_record_unmounts_before_it_removes() -> None:
    """A mount left below run_dir is let go of, and what lies behind it stays."""
    with placed_stack() as own:
        behind, point = own.state_dir / "behind", own.run_dir / "sandbox" / "disks" / "sb-left"
        behind.mkdir(), point.mkdir(parents=True)
        (behind / "kept").write_text("kept")
        subprocess.run(["mount", "--bind", behind, point], check=True)
        done = own.stockade("down")
        assert done.returncode == 0, done.stderr
        assert not own.run_dir.exists()
        assert (behind / "kept").read_text() == "kept"


def test_up_again_after_the_supervisor_was_killed() -> None:
    with running_stack() as own:
        found = status(own)
        os.kill(found["pid"], signal.SIGKILL)
        until(lambda: not any(runs(each["pid"]) for each in found["processes"]))
        assert own.stockade("status").returncode == 3
        assert own.stockade("up").returncode == 0
        assert {each["state"] for each in status(own)["processes"]} == {"serving"}


def test_a_socket_that_another_process_serves_is_named() -> None:
    with placed_stack() as own, socket.socket(socket.AF_UNIX) as taken:
        (own.run_dir / "services").mkdir()
        path = own.run_dir / "services" / "cache.sock"
        taken.bind(str(path))
        taken.listen()
        done = own.stockade("up")
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert str(path) in last
        assert "another process" in last
        assert own.stockade("status").returncode == 3, "what had started has ended again"


def test_a_setting_that_is_none_is_named() -> None:
    with placed_stack(STOCKADE_CACHE_BACKEND="oracle") as own:
        done = own.stockade("up")
        assert done.returncode == 1
        assert "STOCKADE_CACHE_BACKEND" in done.stderr.splitlines()[-1]


def runs(pid: int) -> bool:
    """Whether a process lives; a zombie, which a PID 1 that reaps nobody leaves, does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
