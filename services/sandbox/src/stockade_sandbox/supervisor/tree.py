"""The tree of processes below some of them, and its end: for tiers in which the host has no cgroup to kill."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from .reactor import Reactor

_DEADLINE_S = 3.0
_PAUSE_S = 0.002


def children() -> dict[int, list[int]]:
    """The living children of each process, by its pid. What is only left of one, to be collected, lives no more."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                state, parent = stat.read().rpartition(b") ")[2].split()[:2]
                found.setdefault(int(parent), [])
                if state not in b"ZX":
                    found[int(parent)].append(int(name))
    return found


def below(roots: list[int], family: dict[int, list[int]]) -> list[int]:
    """All living processes below `roots`."""
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        born = family.get(waiting.pop(), [])
        found += born
        waiting += born
    return found


class Felling:
    """Kills what is to be killed until there is nothing left, or three seconds are over.

    What stands still forks no more and keeps its place under the limit on processes: so all are stopped first, those
    that were born meanwhile too, and killed when no more come.
    """

    def __init__(self, victims: Callable[[], list[int]], reactor: Reactor, done: Callable[[int], None]) -> None:
        """`victims` lists who is left; `done` is told how many still live at the end."""
        self._victims, self._reactor, self._done = victims, reactor, done
        self._deadline = time.monotonic() + _DEADLINE_S
        self._stopped: set[int] = set()
        self._strike()

    def _strike(self) -> None:
        victims = self._victims()
        born = [pid for pid in victims if pid not in self._stopped]
        self._stopped.update(born)
        for pid in born or victims:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP if born else signal.SIGKILL)
        if victims and time.monotonic() < self._deadline:
            self._reactor.later(_PAUSE_S, self._strike)
        else:
            self._done(len(victims))
