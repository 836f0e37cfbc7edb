"""Forks the child that will become a program, and holds it until the host has put it into its cgroup."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import struct
import termios
from collections.abc import Callable

from . import kernel

_GO, _STATUS, _RULESET = 3, 4, 5  # descriptors of the child between fork and exec
_LIMITS = {
    "cpu_seconds": resource.RLIMIT_CPU,
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "address_space_bytes": resource.RLIMIT_AS,
    "stack_bytes": resource.RLIMIT_STACK,
}
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Run = Callable[[], int]
"""What the child does instead of a program: a file operation. Its result is the exit code."""


class Order:
    """What to run: the fields of a START frame."""

    __slots__ = ("args", "cwd", "env", "limits", "terminal")

    def __init__(
        self,
        args: list[str],
        env: dict[str, str],
        cwd: str,
        terminal: tuple[int, int] | None,
        limits: dict[str, int],
    ) -> None:
        self.args = args
        self.env = env
        self.cwd = cwd
        self.terminal = terminal
        self.limits = limits


class Child:
    """A forked child that waits: its pid and our ends of its pipes."""

    __slots__ = ("go", "pid", "status", "stderr", "stdin", "stdout", "terminal")

    def __init__(self, pid: int, ours: list[int], terminal: bool) -> None:
        self.pid = pid
        self.stdin, self.stdout, self.stderr, self.go, self.status = ours
        self.terminal = terminal


def fork(order: Order, ruleset: int = -1, run: Run | None = None) -> Child:
    """Forks a child with pipes or a terminal.

    It waits for a line on `go`, its traceparent; `status` then tells why it failed, or ends. Before its program starts
    it is held to `ruleset`. Raises OSError: EAGAIN where the limit on pids is reached, EMFILE, ENOMEM.
    """
    ours: list[int] = []
    theirs: list[int] = []
    try:
        if order.terminal is not None:
            master, slave = os.openpty()
            theirs += [slave, slave, slave]
            resize(master, *order.terminal)
            ours += [os.dup(master), master, -1]
        else:
            for child_end in (0, 1, 1):
                pipe = os.pipe2(os.O_CLOEXEC)
                theirs.append(pipe[child_end])
                ours.append(pipe[1 - child_end])
        go = os.pipe2(os.O_CLOEXEC)
        theirs.append(go[0])
        ours.append(go[1])
        status = os.pipe2(os.O_CLOEXEC)
        theirs.append(status[1])
        ours.append(status[0])
        pid = os.fork()
    except OSError:
        _close(ours + theirs)
        raise
    if pid == 0:
        _child(order, theirs + [ruleset] * (ruleset >= 0), ruleset >= 0, run)
    _close(theirs)
    for fd in ours:
        if fd >= 0:
            os.set_blocking(fd, False)
    return Child(pid, ours, order.terminal is not None)


def resize(terminal: int, rows: int, columns: int) -> None:
    """Sets the size of a terminal; the kernel sends SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _close(descriptors: list[int]) -> None:
    for fd in set(descriptors):
        if fd >= 0:
            os.close(fd)


def _child(order: Order, theirs: list[int], restricted: bool, run: Run | None) -> None:
    """The child's whole life before its program. Never returns.

    Everything is made ready while the host puts it into its cgroup; after the word there is only the program to start.
    """
    step = "prepare"
    try:
        _arrange(theirs)
        step = "terminal"
        os.setsid()
        if order.terminal is not None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        step = "limits"
        _limit(order.limits)
        step = "directory"
        os.chdir(order.cwd)
        step = "restrict"
        kernel.renounce_privileges()
        if restricted:
            kernel.landlock_restrict(_RULESET)
            os.close(_RULESET)
        step = "program"
        word = os.read(_GO, 256)
        if not word:
            os._exit(127)
        if len(word) > 1:
            order.env.setdefault("TRACEPARENT", word[:-1].decode())
        if run is not None:
            os.close(_STATUS)
            os._exit(run())
        _exec(order)
    except OSError as error:
        os.write(_STATUS, f"{error.errno} {step}".encode())
    except BaseException:
        os.write(_STATUS, f"0 {step}".encode())
    os._exit(127)


def _arrange(theirs: list[int]) -> None:
    """Puts the pipes where they belong, closes all else, and takes back what Python ignores."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in theirs]
    for place, fd in enumerate(high):
        os.dup2(fd, place, inheritable=place < _GO)
    os.closerange(len(theirs), 1 << 20)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def _limit(limits: dict[str, int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in limits.items():
        kind = _LIMITS[name]
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            value = min(value, ceiling)
        resource.setrlimit(kind, (value, value))


def _exec(order: Order) -> None:
    """Starts the program, looked up on its own PATH. A file without a known format is not handed to a shell."""
    program = order.args[0]
    if "/" in program:
        os.execve(program, order.args, order.env)  # noqa: S606 - no shell is what is wanted
    failure = FileNotFoundError(2, "no such program")
    for directory in order.env.get("PATH", _DEFAULT_PATH).split(":"):
        try:
            os.execve(f"{directory or '.'}/{program}", order.args, order.env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            failure = error  # type: ignore[assignment]
    raise failure
