"""What sandboxes use up of all that the kernel counts, no other lacks."""

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import grpc
import pytest
from stockade.sandbox.v1 import exec_service_pb2 as pb

from support.greedy import MOST_OUTPUT, PROGRAMS
from support.sandbox_service import Caller, ServedSandboxes

pytestmark = pytest.mark.docker

EXHAUST = {
    "inotify instances": """
import ctypes
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0: count += 1
""",
    "pipe buffers": """
import fcntl, os
try:
    while count <= 200:
        r, w = os.pipe(); fcntl.fcntl(w, 1031, 1 << 20); count += 1
except OSError: pass
""",
    "processes": """
import ctypes, os, time
libc = ctypes.CDLL(None)
try:
    while True:
        if not os.fork(): libc.prctl(1, 9); time.sleep(600)  # and ends with its parent
        count += 1
except OSError: pass
""",
    "open files": """
try:
    kept = []
    while True: kept.append(open("/dev/null")); count += 1
except OSError: pass
""",
    "locks": """
import fcntl
kept = []
try:
    for count in range(5000): kept.append(open(f"/workspace/l{count}", "w")); fcntl.flock(kept[-1], fcntl.LOCK_EX)
except OSError: pass
""",
    "message queues": """
import ctypes
libc = ctypes.CDLL(None)
while count < 2000 and libc.msgget(0, 0o1600) >= 0: count += 1
""",
    "shared memory": """
import ctypes
libc = ctypes.CDLL(None)
while count < 2000 and libc.shmget(0, 4096, 0o1600) >= 0: count += 1
""",
    "pending signals": """
import ctypes, os, signal
libc = ctypes.CDLL(None)
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
while count < 2000 and libc.sigqueue(os.getpid(), 40, None) == 0: count += 1
""",
    "timers": """
import ctypes
libc = ctypes.CDLL(None)
while count < 2000 and libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p())) == 0: count += 1
""",
    "descriptors on their way": """
import array, socket
a, b = socket.socketpair()
kept = [a, b]
try:
    while count < 2000:
        kept += socket.socketpair()
        right = array.array("i", [kept[-1].fileno()])
        kept[-2].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, right)]); count += 1
except OSError: pass
""",
}
"""Programs that take all they can of something that the kernel counts, and set `count` to how much they got."""

HOLD = "\nprint(count, flush=True)\nimport time; time.sleep(600)\n"
TELL = "\nprint(count)\n"
LIMITS = {"cpu": 1, "memory_bytes": 128 << 20, "disk_bytes": 16 << 20, "pids": 48}


@pytest.mark.parametrize("greedy", [len(EXHAUST), pytest.param(99, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_what_others_take_none_lacks(greedy: int, ada: Caller, served: ServedSandboxes) -> None:
    neighbour = ada.create(limits=LIMITS).name
    alone, quiet = _takes(ada, neighbour), _exec_ms(ada, neighbour)
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: ada.create(limits=LIMITS).name, range(greedy)))
        programs = islice(cycle(EXHAUST.values()), greedy)
        held = list(pool.map(lambda name, program: _hold(ada, name, program), names, programs))
        assert min(count for count, _ in held) > 0
        beside, busy = _takes(ada, neighbour), _exec_ms(ada, neighbour)
        assert {what: (alone[what], count) for what, count in beside.items() if count < alone[what] - 2} == {}
        assert busy < 2 * quiet + 5, (quiet, busy)
        for _, call in held:
            call.cancel()
        list(pool.map(ada.delete, [*names, neighbour]))


def test_one_that_takes_all_it_can_leaves_nine_others_working(ada: Caller, served: ServedSandboxes) -> None:
    with ThreadPoolExecutor(16) as pool:
        greedy, *neighbours = (sandbox.name for sandbox in pool.map(lambda _: ada.create(limits=LIMITS), range(10)))
        before = _resident_mib(served)
        calls = [_run_on(ada, greedy, program) for program in PROGRAMS.values()]
        pool.map(_read, calls)  # whoever asked for the output does read it
        for _ in range(5):
            assert [done.ending.exit_code for done in pool.map(lambda name: ada.run(name, "true"), neighbours)] == [
                0
            ] * 9
        assert _throttled(served, greedy)
        assert _resident_mib(served) - before < 64
        for call in calls:
            call.cancel()
        assert all(ada.delete(name).state for name in (greedy, *neighbours))
    assert served.process
    assert served.process.poll() is None
    assert "RECORD_UNAVAILABLE" not in served.log


def _run_on(ada: Caller, name: str, program: str) -> Any:
    """A program that runs until the call is cancelled."""
    command = {"args": ("python3", "-c", program), "max_output_bytes": MOST_OUTPUT}
    call = ada.execs.Exec(iter([pb.ExecRequest(start={"sandbox": name, "command": command, "no_stdin": True})]))
    assert next(call).HasField("started")
    return call


def _read(call: Any) -> None:
    """Takes all its output, until it is cancelled."""
    with suppress(grpc.RpcError):
        for _ in call:
            pass


def _resident_mib(served: ServedSandboxes) -> float:
    assert served.process
    pages = int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _throttled(served: ServedSandboxes, name: str) -> bool:
    """Whether its disk has a bound of its own on what waits to be written, and a rate where the host can hold one."""
    number = (served.run_dir / "sandbox/disks" / name).stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    rates = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")
    strict = Path(f"/sys/class/bdi/{device}/strict_limit").read_text() == "1\n"
    return strict and (not rates.exists() or f"{device} {64 << 20}" in rates.read_text().splitlines())


def _takes(ada: Caller, name: str) -> dict[str, int]:
    """How much of each one sandbox can take."""
    return {what: int(ada.python(name, f"count = 0{program}{TELL}")) for what, program in EXHAUST.items()}


def _hold(ada: Caller, name: str, program: str) -> tuple[int, Any]:
    """The program has taken what it can, so much; it keeps it until the call is cancelled."""
    command = {"args": ("python3", "-c", f"count = 0{program}{HOLD}")}
    call: Iterator[pb.ExecResponse] = ada.execs.Exec(
        iter([pb.ExecRequest(start={"sandbox": name, "command": command, "no_stdin": True})])
    )
    told = next(event.stdout.data for event in call if event.HasField("stdout"))
    return int(told), call


def _exec_ms(ada: Caller, name: str) -> float:
    """How long a small program takes, the median of some."""
    times = []
    for _ in range(20):
        began = time.monotonic()
        ada.run(name, "true")
        times.append(time.monotonic() - began)
    return statistics.median(times) * 1e3
