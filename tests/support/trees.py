"""Subreapers as the supervisor has them: forked by a process of one thread, which a test's own is not.

python trees.py ends PROGRAM     prints the exit code of what PROGRAM became, and its peak memory in KiB
python trees.py fells PROGRAM    prints how many were below the subreaper before a felling, left by it, and after
"""

import os
import sys
import time

from stockade_sandbox.supervisor import subreaper, tree
from stockade_sandbox.supervisor.reactor import Reactor


def ends(found: subreaper.Subreaper) -> tuple[object, ...]:
    deadline = time.monotonic() + 20
    while not (told := found.told()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.waitpid(found.pid, 0)
    return os.waitstatus_to_exitcode(told[0]), told[1]["peak_kib"]


def fells(found: subreaper.Subreaper) -> tuple[object, ...]:
    time.sleep(0.3)
    before, reactor = _below(found), Reactor()
    left: list[int] = []
    tree.Felling(lambda: tree.below([found.pid], tree.children()), reactor, left.append)
    while not left:
        reactor.turn()
    after = _below(found)
    os.waitpid(found.pid, 0)  # it had nothing left to wait for
    return before, left[0], after


def _below(found: subreaper.Subreaper) -> int:
    return len(list(tree.below([found.pid], tree.children())))


if __name__ == "__main__":
    _, what, program = sys.argv
    started = subreaper.fork(lambda: os.execv(sys.executable, [sys.executable, "-S", "-c", program]))
    print(*{"ends": ends, "fells": fells}[what](started))
