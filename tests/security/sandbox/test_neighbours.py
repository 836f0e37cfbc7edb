"""What one sandbox uses up, no other lacks."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.sandbox_service import Caller, ServedSandboxes

pytestmark = pytest.mark.docker

EXHAUST = {
    "inotify instances": """
import ctypes
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0: count += 1
""",
    "pipe buffers": """
import fcntl, os, resource
try:
    while True:
        r, w = os.pipe(); fcntl.fcntl(w, 1031, 1 << 20); os.write(w, bytes(1 << 20)); count += 1
        if count > 200: break
except OSError: pass
""",
    "processes": """
import os, signal, time
try:
    while True:
        if not (pid := os.fork()): time.sleep(120)
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
}
"""Programs that take all they can of something that the kernel counts, and set `count` to how much they got."""

HOLD = "\nprint(count, flush=True)\nimport time; time.sleep(60)\n"


@pytest.mark.parametrize("name", EXHAUST)
def test_what_one_takes_no_other_lacks(name: str, ada: Caller, served: ServedSandboxes) -> None:
    program = "count = 0" + EXHAUST[name]
    first = ada.create()
    alone = int(ada.python(first.name, program + "\nprint(count)"))
    ada.delete(first.name)
    assert alone > 0
    greedy, other = ada.create(), ada.create()
    with _holding(served, greedy.name, program + HOLD):
        assert int(ada.python(other.name, program + "\nprint(count)")) >= alone - 2
    ada.delete(greedy.name)
    ada.delete(other.name)


@contextmanager
def _holding(served: ServedSandboxes, name: str, program: str) -> Iterator[None]:
    """The program has taken what it can, and keeps it, for as long as the block runs."""
    command = ["docker", "--host", served.engine.address, "exec", name, "python3", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert int(process.stdout.readline()) > 0
        yield
        process.kill()
