"""Every ending is told as what it was, and nothing outlives its exec's end."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from stockade_sandbox.domain.ending import Reason, Stop
from stockade_sandbox.domain.execution import Command

from support.supervised import PYTHON, Sandbox, docker, supervised, working

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("engine"), pytest.mark.asyncio(loop_scope="module")]

MIB = 1024 * 1024
HOLDER = "import time; b = bytearray(200 << 20); time.sleep(60)"
FORKER = "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60)"
FILLER = "f = open('/workspace/full', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()"
TREE = """
import os, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(1)
    os._exit(0)
subprocess.Popen(["setsid", "sleep", "77"])
print("up", flush=True)
while True: time.sleep(1)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(engine: object) -> AsyncIterator[Sandbox]:
    async with supervised(memory="128m", pids=40) as running:
        yield running


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
async def test_an_exit_code_is_the_programs_own(sandbox: Sandbox, code: int) -> None:
    ending = (await sandbox.run("sh", "-c", f"exit {code}")).ending
    assert (ending.reason, ending.exit_code, ending.signal) == (Reason.EXITED, code, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_signal_of_its_own_is_signalled(sandbox: Sandbox, number: signal.Signals) -> None:
    ending = (await sandbox.run("sh", "-c", f"kill -{number.value} $$")).ending
    assert (ending.reason, ending.exit_code, ending.signal) == (Reason.SIGNALLED, None, number)


async def test_a_timeout_ends_the_whole_tree_within_a_second(sandbox: Sandbox) -> None:
    begun = time.monotonic()
    result = await sandbox.run(*PYTHON, "-c", TREE, timeout_s=0.5)
    assert result.ending.reason is Reason.TIMEOUT
    assert result.ending.exit_code is None
    assert result.ending.output_partial
    assert result.stdout == b"up\n"
    assert time.monotonic() - begun < 1.5
    assert await working(sandbox) == 0


async def test_a_child_out_of_memory_is_told(sandbox: Sandbox) -> None:
    ending = (await sandbox.run(*PYTHON, "-c", HOLDER)).ending
    assert (ending.reason, ending.signal) == (Reason.OUT_OF_MEMORY, signal.SIGKILL)
    assert ending.usage.oom_kills == 1
    assert ending.usage.peak_memory_bytes > 80 * MIB


async def test_a_grandchild_out_of_memory_is_told_when_the_program_fails(sandbox: Sandbox) -> None:
    grandchild = " ".join(PYTHON) + f" -c '{HOLDER}'"
    failed = (await sandbox.run("sh", "-c", f"{grandchild}; exit $?")).ending
    assert (failed.reason, failed.exit_code) == (Reason.OUT_OF_MEMORY, 137)
    shrugged = (await sandbox.run("sh", "-c", f"{grandchild}; exit 0")).ending
    assert (shrugged.reason, shrugged.exit_code, shrugged.usage.oom_kills) == (Reason.EXITED, 0, 1)


async def test_the_pids_limit_is_told(sandbox: Sandbox) -> None:
    ending = (await sandbox.run(*PYTHON, "-c", FORKER)).ending
    assert (ending.reason, ending.exit_code) == (Reason.PIDS_LIMIT, 1)
    assert ending.usage.pids_refused > 0
    await _end_leftovers(sandbox)


async def test_a_full_disk_is_told(sandbox: Sandbox) -> None:
    ending = (await sandbox.run(*PYTHON, "-c", FILLER)).ending
    assert (ending.reason, ending.exit_code) == (Reason.DISK_FULL, 1)
    await sandbox.run("rm", "/workspace/full")
    tidy = "try:\n " + FILLER.replace("\n", "\n ") + "\nfinally:\n import os; os.unlink('/workspace/full')"
    ending = (await sandbox.run(*PYTHON, "-c", tidy)).ending
    assert (ending.reason, ending.exit_code) == (Reason.DISK_FULL, 1), "told by its last words alone"


async def test_the_output_limit_ends_the_tree_and_keeps_what_fits(sandbox: Sandbox) -> None:
    result = await sandbox.run("sh", "-c", "yes", max_output_bytes=100_000)
    assert result.ending.reason is Reason.OUTPUT_LIMIT
    assert len(result.stdout) == result.ending.output_bytes == 100_000
    assert result.ending.output_partial
    assert await working(sandbox) == 0


async def test_output_of_exactly_the_limit_is_no_ending(sandbox: Sandbox) -> None:
    result = await sandbox.run("head", "-c", "100000", "/dev/zero", max_output_bytes=100_000)
    assert (result.ending.reason, len(result.stdout)) == (Reason.EXITED, 100_000)


async def test_cancelling_ends_the_whole_tree(sandbox: Sandbox) -> None:
    execution = await sandbox.supervision.start(sandbox.name, Command(args=(*PYTHON, "-c", TREE)))
    async for _first in execution.read():
        break
    execution.stop(Stop.CANCELLED)
    ending = await asyncio.wait_for(execution.ended(), 2)
    assert (ending.reason, ending.exit_code) == (Reason.CANCELLED, None)
    assert await working(sandbox) == 0


async def test_a_program_that_ends_by_itself_just_before_its_cancellation_exited(sandbox: Sandbox) -> None:
    execution = await sandbox.supervision.start(sandbox.name, Command(args=("sh", "-c", "exit 4")))
    await execution.ended()
    execution.stop(Stop.CANCELLED)
    assert execution.ending is not None
    assert (execution.ending.reason, execution.ending.exit_code) == (Reason.EXITED, 4)


async def test_what_it_leaves_behind_is_counted_and_does_not_delay_its_end(sandbox: Sandbox) -> None:
    begun = time.monotonic()
    result = await sandbox.run("sh", "-c", "sleep 30 & echo started")
    assert (result.ending.reason, result.stdout) == (Reason.EXITED, b"started\n")
    assert result.ending.usage.processes_left == 1
    assert time.monotonic() - begun < 2
    await _end_leftovers(sandbox)


async def test_a_memory_flood_that_takes_pid_1_is_out_of_memory() -> None:
    async with supervised(memory="64m", options=("--tmpfs", "/flood:size=1g,mode=1777")) as sandbox:
        flood = "cat /dev/zero > /flood/a"
        ending = (await sandbox.run("sh", "-c", f"while true; do {flood}; done")).ending
        assert ending.reason is Reason.OUT_OF_MEMORY
        assert ending.exit_code is None


@pytest.mark.parametrize("how", ["kill", "rm"])
async def test_a_container_ended_behind_our_back_is_sandbox_lost(how: str) -> None:
    async with supervised() as sandbox:
        execution = await sandbox.supervision.start(sandbox.name, Command(args=("sleep", "60")))
        await asyncio.to_thread(docker, *(["kill"] if how == "kill" else ["rm", "-f"]), sandbox.container)
        ending = await asyncio.wait_for(execution.ended(), 5)
        assert (ending.reason, ending.exit_code, ending.signal) == (Reason.SANDBOX_LOST, None, None)


async def test_closing_the_sandbox_ends_its_execs_as_sandbox_lost() -> None:
    async with supervised() as sandbox:
        execution = await sandbox.supervision.start(sandbox.name, Command(args=("sleep", "60")))
        await sandbox.supervision.close(sandbox.name)
        ending = await asyncio.wait_for(execution.ended(), 1)
        assert ending.reason is Reason.SANDBOX_LOST


async def test_nothing_is_done_before_it_is_permitted(sandbox: Sandbox) -> None:
    permitted = asyncio.Event()
    command = Command(args=("touch", "/workspace/done"))
    starting = asyncio.create_task(sandbox.supervision.start(sandbox.name, command, permitted=lambda: _set(permitted)))
    await asyncio.sleep(0.3)
    assert (await sandbox.run("ls", "/workspace")).stdout == b""
    permitted.set()
    assert (await (await starting).ended()).exit_code == 0
    assert (await sandbox.run("rm", "/workspace/done")).ending.exit_code == 0


async def test_what_is_not_permitted_is_not_done(sandbox: Sandbox) -> None:
    async def refused() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        await sandbox.supervision.start(sandbox.name, Command(args=("touch", "/workspace/done")), permitted=refused)
    assert (await sandbox.run("ls", "/workspace")).stdout == b""
    assert await working(sandbox) == 0


async def test_a_prepared_child_that_another_program_kills_is_no_ending(sandbox: Sandbox) -> None:
    killing = asyncio.create_task(sandbox.run("sh", "-c", "for i in 1 2 3 4; do sleep 0.1; kill -9 -1; done"))
    for _ in range(20):
        result = await sandbox.run("true")
        assert result.ending.exit_code == 0 or result.ending.signal == signal.SIGKILL
        await asyncio.sleep(0.03)
    await killing
    assert (await sandbox.run("echo", "well")).stdout == b"well\n"


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _end_leftovers(sandbox: Sandbox) -> None:
    """Kills all but the init, from outside."""
    listed = (await asyncio.to_thread(docker, "top", sandbox.container, "-o", "pid")).splitlines()[1:]
    for pid in map(int, listed):
        if pid != sandbox.init_pid:
            os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        while await working(sandbox) > 0:  # noqa: ASYNC110 - another program's state
            await asyncio.sleep(0.05)
