"""Forks the child that will become a program, and holds it until the host has put it into its cgroup."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import struct
import termios
from collections.abc import Callable

from . import kernel

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
    """What to run: the fields of a START frame. An empty `cwd` is the supervisor's own."""

    __slots__ = ("args", "cwd", "env", "limits", "stdin", "terminal")

    def __init__(
        self,
        args: list[str],
        env: dict[str, str],
        cwd: str,
        terminal: tuple[int, int] | None,
        limits: dict[str, int],
        stdin: bool = True,
    ) -> None:
        self.args = args
        self.env = env
        self.cwd = cwd
        self.terminal = terminal
        self.limits = limits
        self.stdin = stdin


class Child:
    """A forked child that waits: its pid and our ends of its pipes."""

    __slots__ = ("go", "pid", "status", "stderr", "stdin", "stdout", "terminal")

    def __init__(self, pid: int, ours: list[int], terminal: bool) -> None:
        self.pid = pid
        self.stdin, self.stdout, self.stderr, self.go, self.status = ours
        self.terminal = terminal


def fork(order: Order, program: str, ruleset: int = -1, run: Run | None = None) -> Child:
    """Forks a child with pipes or a terminal, for a program by its path or for a function of ours.

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
            if not order.stdin:
                theirs.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
                ours.append(-1)
            for child_end in (0, 1, 1)[not order.stdin :]:
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
        _child(order, program, theirs, ruleset, run)
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


def find(order: Order) -> str:
    """The program's path, looked up on its own PATH as execvp does. Raises FileNotFoundError, PermissionError."""
    program = order.args[0]
    if "/" in program:
        return program
    failure = errno.ENOENT
    for directory in order.env.get("PATH", _DEFAULT_PATH).split(":"):
        path = os.path.join(order.cwd, directory, program)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
        if os.path.isfile(path):
            failure = errno.EACCES
    raise OSError(failure, os.strerror(failure), program)


def _child(order: Order, program: str, theirs: list[int], ruleset: int, run: Run | None) -> None:
    """The child's whole life before its program. Never returns.

    Every page that is written to here is copied first, so it does as little as it can: what can be inherited from the
    supervisor is (no_new_privs, no core dumps, default signals), and all other descriptors close with exec. What it
    does, it does while the host puts it into its cgroup; after the word there is only the program to start.
    """
    go, status = theirs[3:]
    step = "prepare"
    try:
        for place in (0, 1, 2):
            os.dup2(theirs[place], place)
        step = "terminal"
        os.setsid()
        if order.terminal is not None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        step = "limits"
        if order.limits:
            _limit(order.limits)
        step = "directory"
        if order.cwd:
            os.chdir(order.cwd)
        step = "restrict"
        if ruleset >= 0:
            kernel.landlock_restrict(ruleset)
        step = "program"
        word = os.read(go, 256)
        if not word:
            os._exit(127)
        if len(word) > 1:
            order.env.setdefault("TRACEPARENT", word[:-1].decode())
        if run is not None:
            os.closerange(3, 1 << 20)
            os._exit(run())
        os.execve(program, order.args, order.env)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        os.write(status, f"{error.errno} {step}".encode())
    except BaseException:
        os.write(status, f"0 {step}".encode())
    os._exit(127)


def _limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        kind = _LIMITS[name]
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            value = min(value, ceiling)
        resource.setrlimit(kind, (value, value))
