"""A stack's lock and what it writes about itself."""

import os
import subprocess
import sys
from pathlib import Path

from stockade_cli.stack.record import Lock, ProcessRecord, StackRecord

RECORD = StackRecord(
    pid=4711,
    started="2026-01-02T03:04:05+00:00",
    engine="unix:///run/x/docker.sock",
    engine_ours=True,
    state_dir="/var/lib/stockade",
    operator="alice",
    processes=[ProcessRecord("audit", "serving", 4712, 0), ProcessRecord("gate", "starting", 4713, 2, -9)],
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    assert StackRecord.read(tmp_path) == RECORD
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


def test_no_record_and_a_torn_one_are_none(tmp_path: Path) -> None:
    assert StackRecord.read(tmp_path) is None
    (tmp_path / "stack.json").write_text('{"pid": 1')
    assert StackRecord.read(tmp_path) is None


def test_the_lock_names_its_holder_and_is_let_go_when_that_dies(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, time; from stockade_cli.stack.record import Lock; "
        "lock = Lock(pathlib.Path(sys.argv[1])); print(lock.acquire(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert Lock(tmp_path).holder() == holder.pid
        assert Lock(tmp_path).acquire() is False
        holder.kill()
    assert Lock(tmp_path).holder() is None
    lock = Lock(tmp_path)
    assert lock.acquire() is True
    assert Lock(tmp_path).holder() == os.getpid()


def test_without_a_directory_nobody_holds_it(tmp_path: Path) -> None:
    assert Lock(tmp_path / "absent").holder() is None
