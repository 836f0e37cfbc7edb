"""In each tier: no program of the sandbox changes how its supervisor is scheduled, though both have one uid."""

import json
from collections.abc import Iterator

import pytest

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


@pytest.fixture(scope="module", params=TIERS)
def inside(
    request: pytest.FixtureRequest, engine: EngineInUse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Caller, str]]:
    """An operator and a sandbox of each tier."""
    with served_in(request.param, engine, tmp_path_factory.mktemp("roots")) as served:
        ada = served.operator()
        yield ada, ada.create(limits={"cpu": 1, "memory_bytes": 256 << 20, "pids": 64}).name


def told(inside: tuple[Caller, str], program: str) -> dict[str, object]:
    caller, sandbox = inside
    done = caller.run(sandbox, *PYTHON, "-c", TOOLS + program)
    assert done.ending.exit_code == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


def answers(inside: tuple[Caller, str], calls: dict[str, str]) -> dict[str, object]:
    """Each call's error number; 0 where it was done."""
    return told(inside, f"print(json.dumps({{{','.join(f'{what!r}: call({call})' for what, call in calls.items())}}}))")


@pytest.mark.parametrize("init", [INIT, BY_33_BITS], ids=["by its number", "by a number of 33 bits"])
def test_nothing_of_it_is_moved(inside: tuple[Caller, str], init: int) -> None:
    scheduling = "print(json.dumps({'supervisor': scheduling()}))"
    before = told(inside, scheduling)
    calls = {what: call.format(init=init) for what, call in MOVES.items()}
    assert answers(inside, calls) == dict.fromkeys(MOVES, 1)  # EPERM
    assert told(inside, scheduling) == before


def test_programs_move_themselves(inside: tuple[Caller, str]) -> None:
    assert answers(inside, OF_ITS_OWN) == dict.fromkeys(OF_ITS_OWN, 0)
