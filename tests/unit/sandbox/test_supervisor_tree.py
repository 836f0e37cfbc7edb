"""Where the host has no cgroup to kill: a subreaper above each exec, and the end of all that is below it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stockade_sandbox.supervisor import subreaper, tree

from support import trees

FAMILY = {1: [2, 3], 2: [4], 4: [5, 6], 9: [10]}


@pytest.mark.parametrize(
    ("roots", "expected"), [([2], {4, 5, 6}), ([1], {2, 3, 4, 5, 6}), ([7], set()), ([4, 9], {5, 6, 10})]
)
def test_what_is_below(roots: list[int], expected: set[int]) -> None:
    assert set(tree.below(roots, FAMILY)) == expected


def told(what: str, program: str) -> list[int]:
    """What a process of its own says of a subreaper above `program`."""
    script = Path(trees.__file__)
    done = subprocess.run([sys.executable, script, what, program], stdout=subprocess.PIPE, timeout=30, check=True)
    return [int(word) for word in done.stdout.split()]


def test_it_tells_how_the_main_process_ended_and_ends_with_the_last() -> None:
    code, peak_kib = told("ends", "import sys; sys.exit(7)")
    assert code == 7
    assert peak_kib > 0


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
def test_a_felling_ends_all_that_is_below(program: str) -> None:
    before, left, after = told("fells", program)
    assert before > 0
    assert (left, after) == (0, 0)


def test_one_that_cannot_be_forked_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(OSError, match="temporarily"):
        subreaper.fork(lambda: None)
