"""Forks the child that will become a program, and holds it until the host has put it into its cgroup.

It is forked before its order is known, if the host asks for that in time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import marshal
import os
import resource
import signal
import struct
import termios
from collections.abc import Sequence

from . import kernel, subreaper

_LIMITS = {
    "cpu_seconds": resource.RLIMIT_CPU,
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "address_space_bytes": resource.RLIMIT_AS,
    "stack_bytes": resource.RLIMIT_STACK,
}
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_DESCRIPTORS = 1 << 20

ENTERED = b"."
"""What a child says first on its status pipe, when it has been through its entrances."""


class Order:
    """What to run: the fields of a START frame. An empty `cwd` is the supervisor's own.

    `operation` is a file operation that the child does instead of a program.
    """

    __slots__ = ("args", "cwd", "env", "limits", "operation", "stdin")

    def __init__(
        self,
        args: list[str],
        env: dict[str, str],
        cwd: str,
        limits: dict[str, int],
        stdin: bool = True,
        operation: dict[str, object] | None = None,
    ) -> None:
        self.args = args
        self.env = env
        self.cwd = cwd
        self.limits = limits
        self.stdin = stdin
        self.operation = operation

    def pack(self, traceparent: str) -> bytes:
        """As the waiting child reads it. The program's own TRACEPARENT, where it was given one, stands."""
        env = {"TRACEPARENT": traceparent, **self.env} if traceparent else self.env
        return marshal.dumps((self.args, env, self.cwd, self.limits, self.stdin, self.operation))


class Child:
    """A forked child that waits: its pid, our ends of its pipes, and the subreaper that it has, if any."""

    __slots__ = ("go", "pid", "status", "stderr", "stdin", "stdout", "subreaper", "terminal")

    def __init__(self, pid: int, ours: list[int], terminal: bool, subreaper: subreaper.Subreaper | None = None) -> None:
        self.pid = pid
        self.subreaper = subreaper
        self.stdin, self.stdout, self.stderr, self.go, self.status = ours
        self.terminal = terminal


def fork(
    terminal: tuple[int, int] | None,
    ruleset: int = -1,
    below_subreaper: bool = False,
    entrances: Sequence[int] = (),
) -> Child:
    """Forks a child with pipes, or with a terminal of a size, for a program that may not be known yet.

    It enters a cgroup by `entrances`, where there are any, and says so on `status`. It waits for an order on `go` up to
    that one's end; `status` then tells why it failed, or ends. It is held to `ruleset`. Raises OSError: EAGAIN where
    the limit on pids is reached, EMFILE, ENOMEM.
    """
    ours: list[int] = []
    theirs: list[int] = []
    try:
        if terminal is not None:
            master, slave = os.openpty()
            theirs += [slave, slave, slave]
            resize(master, *terminal)
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
        if below_subreaper:
            keeper = subreaper.fork(lambda: _child(theirs, terminal is not None, ruleset, entrances))
            pid = keeper.main
        else:
            keeper, pid = None, os.fork()
    except OSError:
        _close(ours + theirs)
        raise
    if pid == 0:
        _child(theirs, terminal is not None, ruleset, entrances)
    _close(theirs)
    for fd in ours:
        if fd >= 0:
            os.set_blocking(fd, False)
    return Child(pid, ours, terminal is not None, keeper)


def resize(terminal: int, rows: int, columns: int) -> None:
    """Sets the size of a terminal; the kernel sends SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _close(descriptors: list[int]) -> None:
    for fd in set(descriptors):
        if fd >= 0:
            os.close(fd)


def _child(theirs: list[int], terminal: bool, ruleset: int, entrances: Sequence[int]) -> None:
    """The child's whole life before its program. Never returns.

    Every page that is written to here is copied first, so it does as little as it can: what can be inherited from the
    supervisor is (no_new_privs, no core dumps, default signals). What it can do before it knows its order it does
    then; after that there is only the program to start.
    """
    go, status = theirs[3:]
    step = "prepare"
    try:
        _enter(entrances, status)
        for place in (0, 1, 2):
            os.dup2(theirs[place], place)
        step = "terminal"
        os.setsid()
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        step = "restrict"
        if ruleset >= 0:
            kernel.landlock_restrict(ruleset)
        _close_others(go, status)
        step = "order"
        order = _received(go)
        step = "limits"
        if order.limits:
            _limit(order.limits)
        step = "directory"
        if order.cwd:
            os.chdir(order.cwd)
        if not order.stdin:
            os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)
        step = "program"
        if order.operation is not None:
            os.closerange(3, _MOST_DESCRIPTORS)
            os._exit(_file_operation(order.operation))
        os.execve(_found(order.args[0], order.env), order.args, order.env)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        os.write(status, f"{error.errno} {step}".encode())
    except BaseException:
        os.write(status, f"0 {step}".encode())
    finally:
        os._exit(127)


def _enter(entrances: Sequence[int], status: int) -> None:
    """Goes into the cgroup that they lead to. Where the kernel refuses that, the host sees it and moves the process.

    A thread that moves itself waits for nobody; whoever moves another waits until no process of the host forks.
    """
    for fd in entrances:
        with contextlib.suppress(OSError):
            os.write(fd, b"0")
        os.close(fd)
    if entrances:
        os.write(status, ENTERED)


def _close_others(go: int, status: int) -> None:
    """Closes all but the standard streams and these two: while this waits, others' pipes must be able to end."""
    first, second = sorted((go, status))
    os.closerange(3, first)
    os.closerange(first + 1, second)
    os.closerange(second + 1, _MOST_DESCRIPTORS)


def _received(go: int) -> Order:
    """The order, once it is whole; ends the process where none came."""
    packed = bytearray()
    while piece := os.read(go, 1 << 16):
        packed += piece
    if not packed:
        os._exit(127)
    return Order(*marshal.loads(packed))  # noqa: S302 - from our own parent, by a pipe that nobody else has


def _found(program: str, env: dict[str, str]) -> str:
    """The program's path, looked up on its own PATH as execvp does. Raises FileNotFoundError, PermissionError."""
    if "/" in program:
        return program
    failure = errno.ENOENT
    for directory in env.get("PATH", _DEFAULT_PATH).split(":"):
        path = os.path.join(directory, program)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
        if os.path.isfile(path):
            failure = errno.EACCES
    raise OSError(failure, os.strerror(failure), program)


def _file_operation(operation: dict[str, object]) -> int:
    from . import files

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return files.perform(operation)


def _limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        kind = _LIMITS[name]
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            value = min(value, ceiling)
        resource.setrlimit(kind, (value, value))
