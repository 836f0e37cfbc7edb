"""Where the host has no cgroup to kill: a subreaper above each exec, and the end of all that is below it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from stockade_sandbox.supervisor import subreaper, tree
from stockade_sandbox.supervisor.reactor import Reactor

FAMILY = {1: [2, 3], 2: [4], 4: [5, 6], 9: [10]}


@pytest.mark.parametrize(
    ("roots", "expected"), [([2], {4, 5, 6}), ([1], {2, 3, 4, 5, 6}), ([7], set()), ([4, 9], {5, 6, 10})]
)
def test_what_is_below(roots: list[int], expected: set[int]) -> None:
    assert set(tree.below(roots, FAMILY)) == expected


def run(program: str) -> Callable[[], None]:
    """What a child does: it becomes Python with a program."""
    return lambda: os.execv(sys.executable, [sys.executable, "-S", "-c", program])


@pytest.fixture
def started() -> Iterator[list[subreaper.Subreaper]]:
    """Subreapers that a test started: whatever is left of them is ended."""
    kept: list[subreaper.Subreaper] = []
    yield kept
    for each in kept:
        for pid in [*tree.below([each.pid], tree.children()), each.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os.waitpid(each.pid, os.WNOHANG)


def until(condition: Callable[[], object]) -> object:
    deadline = time.monotonic() + 5
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def felled(pid: int) -> int:
    """How many processes below it are left after a felling."""
    left: list[int] = []
    reactor = Reactor()
    tree.Felling(lambda: tree.below([pid], tree.children()), reactor, left.append)
    while not left:
        reactor.turn()
    return left[0]


def test_it_tells_how_the_main_process_ended_and_ends_with_the_last(started: list[subreaper.Subreaper]) -> None:
    found = subreaper.fork(run("import sys; sys.exit(7)"))
    started.append(found)
    status, used = until(found.told)  # type: ignore[misc]
    assert os.waitstatus_to_exitcode(status) == 7
    assert used["peak_kib"] > 0
    os.waitpid(found.pid, 0)
    started.clear()


DAEMON = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(60)"
SPAWN = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {DAEMON!r}])"
IGNORE = "import signal; [signal.signal(number, signal.SIG_IGN) for number in (1, 2, 3, 15)]"
BREED = "import os, time\nfor _ in range(20):\n  if os.fork() == 0: time.sleep(60)"
TREES = {
    "double forks in sessions of their own": SPAWN,
    "signals that are ignored": f"{IGNORE}; import time; time.sleep(60)",
    "many children": f"{BREED}\ntime.sleep(60)",
}


@pytest.mark.parametrize("program", TREES.values(), ids=TREES)
def test_a_felling_ends_all_that_is_below(started: list[subreaper.Subreaper], program: str) -> None:
    found = subreaper.fork(run(program))
    started.append(found)
    time.sleep(0.3)
    assert tree.below([found.pid], tree.children())
    assert felled(found.pid) == 0
    assert not tree.below([found.pid], tree.children())
    os.waitpid(found.pid, 0)  # it had nothing left to wait for
    started.clear()


def test_one_that_cannot_be_forked_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(OSError, match="temporarily"):
        subreaper.fork(lambda: None)
