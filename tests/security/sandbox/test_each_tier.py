"""In each tier: a program neither changes how its supervisor runs, nor hears of another sandbox by a file of both."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest
from stockade.sandbox.v1 import exec_service_pb2 as pb

from support.engine import EngineInUse
from support.sandbox_service import Caller
from support.supervised import PYTHON
from support.tiers import TIERS, served_in

pytestmark = pytest.mark.docker

INIT, BY_33_BITS = 1, (1 << 32) + 1
TOOLS = """
import ctypes, json, os, struct
libc = ctypes.CDLL(None, use_errno=True)
ZEROES, FIRST = bytes(16), b"\\x01" + bytes(7)
BATCH, IDLE_IO = struct.pack("IIQiIQQQII", 56, 3, *[0] * 8), 3 << 13
def call(number, *arguments):
    result = libc.syscall(number, *(a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments))
    return ctypes.get_errno() if result < 0 else 0
def scheduling():
    fields = open("/proc/1/stat").read().rpartition(") ")[2].split()
    affinity = sorted(os.sched_getaffinity(1))
    return [fields[15:17], os.getpriority(0, 1), libc.syscall(145, 1), libc.syscall(252, 1, 1), affinity]
"""
MOVES = {
    "its niceness": "141, 0, {init}, 19",
    "its group's": "141, 1, {init}, 19",
    "its user's": "141, 2, 0, 19",
    "its place in the disk's queue": "251, 1, {init}, IDLE_IO",
    "its group's in the disk's queue": "251, 2, {init}, IDLE_IO",
    "its user's in the disk's queue": "251, 3, 0, IDLE_IO",
    "its processors": "203, {init}, 8, FIRST",
    "its policy": "144, {init}, 5, ZEROES",
    "its policy's parameter": "142, {init}, ZEROES",
    "all attributes of its policy": "314, {init}, BATCH, 0",
    "its limits": "302, {init}, 7, ZEROES, 0",
    "its pages": "256, {init}, 1, ZEROES, ZEROES",
    "single pages of it": "279, {init}, 0, 0, 0, 0, 0",
    "its memory, by vectors": "310, {init}, 0, 0, 0, 0, 0",
    "its memory, written": "311, {init}, 0, 0, 0, 0, 0",
    "its resources, compared": "312, {init}, {init}, 0, 0, 0",
    "a signal that it handles": "62, {init}, 17",
}
"""What a program of the same uid might change or look at, as a system call's number and arguments."""

OF_ITS_OWN = {
    "niceness": "141, 0, os.getpid(), 1",
    "niceness of the calling thread": "141, 0, 0, 2",
    "processors": "203, os.getpid(), 8, FIRST",
    "a signal": "62, os.getpid(), 0",
}
"""What programs do to themselves, by their own number too."""

FILES = [
    *("/", "/bin/busybox", "/etc/passwd", "/etc/hosts", "/workspace", "/tmp", "/run/stockade"),
    *("/opt/stockade", "/opt/stockade/lib/ld.so", "/opt/stockade/app/__main__.pyc", "/dev", "/dev/shm", "/dev/null"),
    *("/proc", "/proc/cpuinfo", "/proc/stat", "/proc/meminfo", "/proc/sys"),
    *("/sys", "/sys/kernel", "/sys/fs/cgroup"),
]
"""What each of two sandboxes of an image can open: of the image, the host's, the engine's and the kernel's."""

KEPT = {"/bin/busybox", "/etc/passwd", "/workspace", "/opt/stockade", "/opt/stockade/lib/ld.so"}
"""Of these, what the first sandbox holds and watches for certain."""

OF_THE_KERNEL = {"an event counter", "a namespace"}
"""Each of these is one inode for all that run on a kernel."""

SHARED = {"RUNC": OF_THE_KERNEL, "GVISOR": set(), "NAMESPACE": OF_THE_KERNEL | {"/dev/null", "/proc/sys"}}
"""What of it may be one inode for two sandboxes: see docs/sandbox.md."""

FIND = """
import contextlib, ctypes, errno, fcntl, json, os, sys
libc = ctypes.CDLL(None)
def found():
    yield "an event counter", libc.eventfd(0, 0)
    for what, path in ("a namespace", "/proc/self/ns/user"), *((path, path) for path in sys.argv[1:]):
        with contextlib.suppress(OSError): yield what, os.open(path, os.O_RDONLY | os.O_NONBLOCK)
def locks(lock, fd):
    try: lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error: return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True
def all_locked(fd):
    return locks(fcntl.flock, fd) & locks(fcntl.lockf, fd)
"""
HOLD = f"""
{FIND}
def happened():
    told, names = b"", set()
    with contextlib.suppress(BlockingIOError):
        while True: told += os.read(events, 1 << 16)
    while told:
        names.add(watched[int.from_bytes(told[:4], "little")])
        told = told[16 + int.from_bytes(told[12:16], "little"):]
    return names
kept = dict(found())
events = libc.inotify_init1(os.O_NONBLOCK)
watched = {{libc.inotify_add_watch(events, path.encode(), 0xFFF): path for path in sys.argv[1:]}}
print(json.dumps([what for what, fd in kept.items() if all_locked(fd)]), flush=True)
for line in sys.stdin:
    print(json.dumps(sorted(happened())), flush=True)
"""
MEET = f"""
{FIND}
met = []
for what, fd in found():
    if not all_locked(fd): met.append(what)
    if what in sys.argv:
        with contextlib.suppress(OSError): os.read(fd, 1)
    os.close(fd)
print(json.dumps(met))
"""


@dataclass(frozen=True)
class Pair:
    """Two sandboxes of one tier, of different agents."""

    tier: str
    ada: Caller
    one: str
    other: str

    def python(self, sandbox: str, program: str, *arguments: str) -> Any:
        """What a program prints as JSON."""
        done = self.ada.run(sandbox, *PYTHON, "-c", program, *arguments)
        assert done.ending.exit_code == 0, done.stderr.decode()
        return json.loads(done.stdout)


class Holder:
    """A program in the first sandbox that locks and watches all that the other can open, too: `held`, what it got."""

    def __init__(self, pair: Pair) -> None:
        self._input: SimpleQueue[pb.ExecRequest | None] = SimpleQueue()
        command = {"args": (*PYTHON, "-c", HOLD, *FILES)}
        self._input.put(pb.ExecRequest(start={"sandbox": pair.one, "command": command}))
        self._call = pair.ada.execs.Exec(iter(self._input.get, None))
        self.held = self._says()

    def seen(self) -> list[str]:
        """Which files something was done with since it was last asked."""
        self._input.put(pb.ExecRequest(input={"stdin": b"\n"}))
        return self._says()

    def end(self) -> None:
        """Let go of everything."""
        self._input.put(None)
        self._call.cancel()

    def _says(self) -> list[str]:
        return list(json.loads(next(event.stdout.data for event in self._call if event.HasField("stdout"))))


@pytest.fixture(scope="module", params=TIERS)
def pair(
    request: pytest.FixtureRequest, engine: EngineInUse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    limits = {"cpu": 1, "memory_bytes": 256 << 20, "pids": 64}
    with served_in(request.param, engine, tmp_path_factory.mktemp("roots")) as served:
        ada = served.operator()
        one, other = (ada.create(agent=f"agent-{number}", limits=limits).name for number in (1, 2))
        yield Pair(request.param, ada, one, other)


def answers(pair: Pair, calls: dict[str, str]) -> dict[str, int]:
    """Each call's error number; 0 where it was done."""
    made = ",".join(f"{what!r}: call({call})" for what, call in calls.items())
    return dict(pair.python(pair.one, f"{TOOLS}print(json.dumps({{{made}}}))"))


@pytest.mark.parametrize("init", [INIT, BY_33_BITS], ids=["by its number", "by a number of 33 bits"])
def test_nothing_of_the_supervisor_is_moved(pair: Pair, init: int) -> None:
    scheduling = f"{TOOLS}print(json.dumps(scheduling()))"
    before = pair.python(pair.one, scheduling)
    assert answers(pair, {what: call.format(init=init) for what, call in MOVES.items()}) == dict.fromkeys(MOVES, 1)
    assert pair.python(pair.one, scheduling) == before


def test_programs_move_themselves(pair: Pair) -> None:
    assert answers(pair, OF_ITS_OWN) == dict.fromkeys(OF_ITS_OWN, 0)


def test_no_file_tells_of_another_sandbox(pair: Pair) -> None:
    holder = Holder(pair)
    assert set(holder.held) >= KEPT
    assert set(pair.python(pair.other, MEET, *FILES)) <= SHARED[pair.tier]
    assert set(holder.seen()) <= SHARED[pair.tier]
    # The same from within the one shows that there was something to find.
    assert set(pair.python(pair.one, MEET, *FILES)) >= KEPT
    assert set(holder.seen()) >= KEPT
    holder.end()
