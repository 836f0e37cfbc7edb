"""A supervised process: started, kept running, stopped. The programs are real ones, small."""

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from stockade_cli.stack import process as process_module
from stockade_cli.stack.logfile import BoundedLog
from stockade_cli.stack.process import Process, Program, StartFailed, State

SERVES = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).touch()
print("up", flush=True)
time.sleep(60)
"""
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVES
REFUSES = "import sys; print('stockade: STOCKADE_X_Y is not a setting', file=sys.stderr); sys.exit(2)"


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Process]:
    ready = tmp_path / "ready"

    async def probe() -> bool:
        return ready.exists()

    def build(code: str) -> Process:
        program = Program("x", [sys.executable, "-c", code, str(ready)], {"PATH": os.environ["PATH"]}, probe)
        return Process(program, BoundedLog(tmp_path / "x.log", "x", 100_000), changed=lambda: None)

    return build


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 what is waited for is another process
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_it_serves_and_stops(make: Callable[[str], Process]) -> None:
    process = make(SERVES)
    await process.start(10)
    assert process.state == State.SERVING
    assert alive(process.pid)
    if os.geteuid() == 0:  # before what runs in sandboxes; others may not ask for that
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == process_module.NICENESS
    await process.stop()
    assert process.state == State.STOPPED
    assert not alive(process.pid)
    assert process.restarts == 0


async def test_one_that_was_killed_is_started_again(make: Callable[[str], Process]) -> None:
    process = make(SERVES)
    await process.start(10)
    first = process.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: process.restarts == 1 and process.state == State.SERVING)
    assert process.pid != first
    assert process.last_exit == -signal.SIGKILL
    await process.stop()
    assert not alive(process.pid)


async def test_one_that_cannot_start_ends_with_its_last_words(make: Callable[[str], Process]) -> None:
    process = make(REFUSES)
    with pytest.raises(StartFailed, match="STOCKADE_X_Y is not a setting"):
        await process.start(10)
    await process.stop()


async def test_one_that_never_serves_is_given_up(make: Callable[[str], Process]) -> None:
    process = make("import time; time.sleep(60)")
    with pytest.raises(StartFailed, match="does not serve after 0 s"):
        await process.start(0.3)
    await process.stop()
    assert not alive(process.pid)


async def test_one_that_ignores_sigterm_is_killed(
    make: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "STOP_SECONDS", 0.2)
    process = make(IGNORES_TERM)
    await process.start(10)
    await process.stop()
    assert not alive(process.pid)


async def test_stopping_while_it_waits_to_start_again(
    make: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "FIRST_BACKOFF_SECONDS", 30.0)
    process = make(SERVES)
    await process.start(10)
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: process.state == State.WAITING)
    await asyncio.wait_for(process.stop(), 5)
    assert process.restarts == 0


async def test_its_output_is_in_the_log(make: Callable[[str], Process], tmp_path: Path) -> None:
    process = make(SERVES)
    await process.start(10)
    await until(lambda: '"up"' in (tmp_path / "x.log").read_text())
    await process.stop()


async def test_one_that_cannot_be_spawned_is_tried_again(make: Callable[[str], Process]) -> None:
    process = make(SERVES)
    await process.start(10)
    program = process.program
    process.program = dataclasses.replace(program, command=["/nowhere"])
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: process.restarts == 1)
    process.program = program
    await until(lambda: process.state == State.SERVING)
    await process.stop()
    assert not alive(process.pid)
