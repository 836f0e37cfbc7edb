"""Nothing in the sandbox can pose as its supervisor, end it, trace it or read it."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from stockade_sandbox.domain.ending import Reason
from stockade_sandbox.supervisor import frames

from support.supervised import PYTHON, Sandbox, supervised

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("engine"), pytest.mark.asyncio(loop_scope="module")]

FORGED = frames.encode_json(frames.HELLO, 0, {"version": frames.VERSION, "pid": 1, "kept": 0, "started_ns": 0})
DIAL = f"""
import socket, time
s = socket.socket(socket.AF_UNIX)
s.settimeout(3)
s.connect("/run/stockade/control.sock")
s.sendall({FORGED!r})
try:
    print(repr(s.recv(100)))
except TimeoutError:
    print("silence")
"""
FLOOD = """
import socket, time
end = time.time() + 2
while time.time() < end:
    s = socket.socket(socket.AF_UNIX); s.setblocking(False)
    try: s.connect("/run/stockade/control.sock"); s.send(b"x" * 100)
    except OSError: pass
"""
KEEP_DIALLING = f"""
import os, socket, time
if os.fork(): os._exit(0)
for _ in range(100):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect("/run/stockade/control.sock")
        s.sendall({FORGED!r})
        time.sleep(0.1)
    except OSError:
        time.sleep(0.05)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(engine: object) -> AsyncIterator[Sandbox]:
    async with supervised() as running:
        yield running


async def test_a_program_that_speaks_the_protocol_gets_nowhere(sandbox: Sandbox) -> None:
    result = await sandbox.run(*PYTHON, "-c", DIAL)
    assert result.stdout.strip() in (b"silence", b"b''"), result
    assert (await sandbox.run("echo", "still here")).stdout == b"still here\n"
    assert sandbox.supervision.health(sandbox.name).attached


async def test_a_program_that_dials_while_the_supervisor_is_away_gets_nowhere() -> None:
    async with supervised() as sandbox:
        await sandbox.run(*PYTHON, "-c", KEEP_DIALLING)
        await sandbox.supervision.shut_down()
        await asyncio.sleep(0.2)
        await sandbox.supervision.open(sandbox.name, sandbox.directory, doors=False)
        await asyncio.sleep(0.2)
        sandbox.supervision.expect(sandbox.name, sandbox.init_pid)
        await sandbox.supervision.attached(sandbox.name, 10)
        assert (await sandbox.run("echo", "mine")).stdout == b"mine\n"
        assert not sandbox.keeper.ended


async def test_a_flood_of_callers_costs_the_host_nothing(sandbox: Sandbox) -> None:
    flood = asyncio.create_task(sandbox.run(*PYTHON, "-c", FLOOD))
    for _ in range(10):
        assert (await asyncio.wait_for(sandbox.run("true"), 2)).ending.exit_code == 0
        await asyncio.sleep(0.1)
    await flood


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 10, 11, 12, 13, 14, 15, 17, 19, 20, 34])
async def test_no_signal_moves_it(sandbox: Sandbox, number: int) -> None:
    await sandbox.run("kill", f"-{number}", "1")
    await sandbox.run("kill", f"-{number}", "-1")
    # The next exec's child was made ahead of time, and may have been among those that were signalled.
    assert b"up\n" in [(await sandbox.run("echo", "up")).stdout for _ in range(2)]


@pytest.mark.parametrize(
    "path",
    ["/proc/1/mem", "/proc/1/environ", "/proc/1/fd", "/proc/1/maps", "/proc/1/cwd", "/proc/1/root", "/proc/1/auxv"],
)
async def test_its_proc_files_are_closed(sandbox: Sandbox, path: str) -> None:
    result = await sandbox.run("sh", "-c", f"cat {path} || ls {path}/")
    assert (result.stdout, b"ermission denied" in result.stderr) == (b"", True), result


async def test_it_cannot_be_traced(sandbox: Sandbox) -> None:
    program = "import ctypes; print(ctypes.CDLL(None, use_errno=True).ptrace(16, 1, 0, 0), ctypes.get_errno())"
    result = await sandbox.run(*PYTHON, "-c", program)
    assert result.stdout.split() == [b"-1", b"1"], result


async def test_a_program_inherits_nothing_of_the_supervisor(sandbox: Sandbox) -> None:
    result = await sandbox.run("ls", "-l", "/proc/self/fd")
    assert b"socket" not in result.stdout
    assert b"eventpoll" not in result.stdout
    numbers = [line.split(b" -> ")[0].split()[-1] for line in result.stdout.splitlines() if b" -> " in line]
    assert set(numbers) <= {b"0", b"1", b"2", b"3"}, "three streams, and the directory that ls reads"


async def test_the_socket_cannot_be_swapped(sandbox: Sandbox) -> None:
    result = await sandbox.run("sh", "-c", "rm /run/stockade/control.sock; ln -s /x /run/stockade/egress.sock; echo $?")
    assert result.stdout == b"1\n"
    assert b"ead-only" in result.stderr


async def test_another_process_of_the_host_is_no_supervisor(sandbox: Sandbox) -> None:
    """The test itself, root on the host, dials: it is not the container's init."""
    await sandbox.supervision.shut_down()
    await sandbox.supervision.open(sandbox.name, sandbox.directory, doors=False)
    sandbox.supervision.expect(sandbox.name, sandbox.init_pid)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.setblocking(False)
        stranger.connect(str(sandbox.directory / "control.sock"))
        stranger.send(FORGED)
        await sandbox.supervision.attached(sandbox.name, 10)
        assert (await sandbox.run("true")).ending.reason is Reason.EXITED
