"""A process between PID 1 and an exec, to which the exec's orphans fall: for tiers without a cgroup for each exec.

All that the exec ever starts stays below it, whatever sessions and groups it makes (PR_SET_CHILD_SUBREAPER, prctl(2)).
A program can kill it, being of the same uid: then all that falls to PID 1, where nothing else is that is not known.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

from . import kernel

_MOST_DESCRIPTORS = 1 << 20
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
            signal.SIGPIPE, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)  # fmt: skip

Usage = dict[str, object]


class Subreaper:
    """One that runs: its pid, that of the exec's main process, and where it tells how that one ended."""

    __slots__ = ("main", "pid", "report")

    def __init__(self, pid: int, main: int, report: int) -> None:
        self.pid, self.main, self.report = pid, main, report

    def told(self) -> tuple[int, Usage] | None:
        """The main process's wait status and what it used, once that is known."""
        try:
            words = os.read(self.report, 128).split()
        except BlockingIOError:
            return None
        if len(words) != 3:
            return None
        return int(words[0]), {"cpu_s": float(words[1]), "peak_kib": int(words[2])}


def fork(child: Callable[[], None]) -> Subreaper:
    """Forks one that forks a child, which does `child` and does not return. Raises OSError."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        _serve(writer, child)
    os.close(writer)
    main = int(os.read(reader, 16) or b"0")
    if main <= 0:
        os.close(reader)
        raise OSError(-main or errno.EAGAIN, os.strerror(-main or errno.EAGAIN))
    os.set_blocking(reader, False)
    return Subreaper(pid, main, reader)


def _serve(report: int, child: Callable[[], None]) -> None:
    """Its whole life: tells the child's pid, or why there is none, and its end; ends when nothing is below it."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        kernel.adopt_orphans()
        main = os.fork()
        if main == 0:
            child()
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        os.write(report, b"%d" % main)
        os.closerange(0, report)
        os.closerange(report + 1, _MOST_DESCRIPTORS)
        while True:
            pid, status, usage = os.wait4(-1, 0)
            if pid == main:
                os.write(report, b"%d %f %d" % (status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss))
    except ChildProcessError:
        pass
    except OSError as error:
        os.write(report, b"-%d" % (error.errno or errno.EAGAIN))
    finally:
        os._exit(0)
