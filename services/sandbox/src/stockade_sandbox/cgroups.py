"""A cgroup for each exec, below its container's: where it is counted, frozen and killed. Versions 1 and 2.

Version 1: a child in the memory, pids and freezer trees. Version 2: one child; since a cgroup with controllers for its
children holds no processes of its own, the supervisor is first moved into a child called `supervisor`.

A process enters by itself, by files that the host has opened for it. To move another one, the kernel stops every fork
and exit of the host, waits for an RCU grace period, and for every process that was interrupted while it forked: 8 ms
for each tree on a host with nothing to do, 50 and more beside a fork bomb, in which the bomb's neighbours stand still.
A thread that moves itself needs none of that (0.05 ms; version 1, where it writes to `tasks`).
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = "/sys/fs/cgroup"
PROC = "/proc"

_V1_TREES = ("memory", "pids", "freezer")
_KILL_DEADLINE_S = 5.0
_MOST_REMAINS = 2 << 20
"""Up to so many bytes that are still counted in a cgroup when all in it has ended, it may serve once more."""

_SUPERVISOR_OOM_SCORE = -998
_EXEC_OOM_SCORE = 500


class NoCgroup(Exception):
    """The process has no cgroup of its own below which others could be made."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What a cgroup has counted. Bytes, seconds; None where this kernel or version does not count it."""

    oom_kills: int
    pids_refused: int
    peak_memory_bytes: int | None
    cpu_s: float | None


class ContainerCgroup:
    """The cgroup of one container, found by its init process."""

    def __init__(self, init_pid: int, trees: dict[str, str]) -> None:
        self._init_pid = init_pid
        self._trees = trees
        self._home = next(iter(trees.values()))
        if "" in trees:
            self._home = self._make_room()

    @classmethod
    def of(cls, init_pid: int, root: str = ROOT) -> "ContainerCgroup":
        """Reads /proc/<pid>/cgroup. Raises NoCgroup where the process sits in a root cgroup or in ours, or is gone."""
        lines = _read(f"{PROC}/{init_pid}/cgroup").splitlines()
        if not lines:
            raise NoCgroup(f"process {init_pid} is gone")
        trees = _trees(lines, root)
        ours = _trees(_read(f"{PROC}/self/cgroup").splitlines(), root)
        if any(path.endswith("/") or path == ours.get(tree) for tree, path in trees.items()):
            raise NoCgroup(f"process {init_pid} has no cgroup of its own")
        return cls(init_pid, trees)

    def protect_init(self) -> None:
        """Lets the kernel kill every program before the supervisor when memory runs out.

        Without CAP_SYS_RESOURCE the supervisor keeps its score; the programs' higher one has to do.
        """
        with contextlib.suppress(OSError):
            _set_oom_score(self._init_pid, _SUPERVISOR_OOM_SCORE)

    def host_pid(self, inner_pid: int) -> int:
        """The host's pid of a child that waits beside the init. Raises ProcessLookupError."""
        for pid in _pids(self._home):
            if pid != self._init_pid and _innermost_pid(pid) == inner_pid:
                return pid
        raise ProcessLookupError(f"no waiting child {inner_pid}")

    def move(self, inner_pid: int, cgroup: "ExecCgroup") -> None:
        """Moves a child that has not entered by itself, as kernels before 5.16 refuse it. Raises OSError.

        Not for the event loop: see above.
        """
        cgroup.take(self.host_pid(inner_pid))

    def make(self, name: str) -> "ExecCgroup":
        """A cgroup for an exec; one that is there already (from before a restart) is taken as it is."""
        trees = {tree: f"{path}/{name}" for tree, path in self._trees.items()}
        for path in trees.values():
            _make(path)
        return ExecCgroup(trees, None if "" not in trees else self._trees[""])

    def oom_kills(self) -> int:
        """Processes of the container itself, the init that is, that the kernel killed for memory."""
        return _oom_kills(self._trees)

    def _make_room(self) -> str:
        """Version 2: moves the init into a child of its own and passes the controllers on."""
        home = f"{self._trees['']}/supervisor"
        _make(home)
        for pid in _pids(self._trees[""]):
            _write(f"{home}/cgroup.procs", str(pid))
        _write(f"{self._trees['']}/cgroup.subtree_control", "+memory +pids")
        return home


class ExecCgroup:
    """The cgroup of one exec."""

    def __init__(self, trees: dict[str, str], parent: str | None) -> None:
        self._trees = trees
        self._any = next(iter(trees.values()))
        self._parent = parent
        self._refused_before = self._refused() if parent else 0

    @property
    def name(self) -> str:
        """By which ContainerCgroup.make finds it again."""
        return os.path.basename(self._any)

    @contextlib.contextmanager
    def entrances(self) -> Iterator[list[int]]:
        """Open files, as long as this lasts: a process that writes 0 to each has entered. Raises OSError.

        The kernel judges by who opened them.
        """
        name = "cgroup.procs" if "" in self._trees else "tasks"
        with contextlib.ExitStack() as opened:
            yield [_opened(f"{path}/{name}", opened) for path in self._trees.values()]

    def admit(self, inner_pid: int) -> bool:
        """Whether a process has entered every tree; it is then a choice for the kernel when memory runs out."""
        pids = set.intersection(*(set(_pids(path)) for path in self._trees.values()))
        found = next((pid for pid in pids if _innermost_pid(pid) == inner_pid), None)
        if found is not None:
            _set_oom_score(found, _EXEC_OOM_SCORE)
        return found is not None

    def take(self, host_pid: int) -> None:
        """Moves a process in and makes it such a choice. Raises OSError. Not for the event loop: see above."""
        for path in self._trees.values():
            _write(f"{path}/cgroup.procs", str(host_pid))
        _set_oom_score(host_pid, _EXEC_OOM_SCORE)

    def pids(self) -> list[int]:
        """The host's pids of the processes in it."""
        return _pids(self._any)

    async def kill(self) -> bool:
        """Kills all that is in it, whatever it forks meanwhile; whether nothing was left after five seconds."""
        deadline = time.monotonic() + _KILL_DEADLINE_S
        while self.pids():
            if time.monotonic() > deadline:
                return False
            if "" in self._trees:
                _write_if_there(f"{self._any}/cgroup.kill", "1")
            else:
                await self._freeze_and_kill(deadline)
            await asyncio.sleep(0.001)
        return True

    async def _freeze_and_kill(self, deadline: float) -> None:
        """Version 1: what is frozen cannot fork or exit, so that its pids are safe to signal."""
        state = f"{self._trees['freezer']}/freezer.state"
        _write_if_there(state, "FROZEN")
        while _read(state).strip() == "FREEZING" and time.monotonic() < deadline:  # noqa: ASYNC110 - a kernel file tells nobody
            await asyncio.sleep(0.001)
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        _write_if_there(state, "THAWED")

    def counters(self) -> Counters:
        """What it has counted so far; zeros when it is gone."""
        peak = _read(f"{self._tree('memory')}/{'memory.peak' if self._parent else 'memory.max_usage_in_bytes'}")
        cpu = _field(_read(f"{self._any}/cpu.stat"), "usage_usec") if self._parent else None
        return Counters(
            oom_kills=_oom_kills(self._trees),
            pids_refused=self._refused() - self._refused_before,
            peak_memory_bytes=int(peak) if peak.strip().isdigit() else None,
            cpu_s=cpu / 1e6 if cpu is not None else None,
        )

    def renew(self) -> bool:
        """Makes it as good as new, if it is but for what it still holds of memory; whether it is.

        To make one and to remove one costs as much as the program `true`, and both wait while an engine moves
        processes. Version 1: in version 2 a peak stands until the cgroup is gone.
        """
        if self._parent or self.pids():
            return False
        remains = _read(f"{self._trees['memory']}/memory.usage_in_bytes").strip()
        if not remains.isdigit() or int(remains) > _MOST_REMAINS or _oom_kills(self._trees) or self._refused():
            return False
        try:
            _write(f"{self._trees['memory']}/memory.max_usage_in_bytes", "0")
        except OSError:
            return False
        return True

    def remove(self) -> bool:
        """Removes it if nothing is in it any more; whether it is gone."""
        for path in self._trees.values():
            try:
                os.rmdir(path)
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True

    def _tree(self, name: str) -> str:
        return self._trees.get(name, self._any)

    def _refused(self) -> int:
        """Version 1 counts a refused fork in the forker's cgroup; version 2 where the limit lies, so there the
        container's count since this cgroup was made stands for it."""
        return _field(_read(f"{self._parent or self._tree('pids')}/pids.events"), "max") or 0


def _trees(lines: list[str], root: str) -> dict[str, str]:
    """The trees of a process: memory, pids and freezer of version 1, or "" for version 2."""
    found = {}
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path.lstrip("/")
    if set(_V1_TREES) <= found.keys():
        return {tree: f"{root}/{tree}/{found[tree]}" for tree in _V1_TREES}
    if "" not in found:
        raise NoCgroup("neither version of cgroups is there")
    return {"": f"{root}/{found['']}"}


def _oom_kills(trees: dict[str, str]) -> int:
    path = f"{trees['']}/memory.events" if "" in trees else f"{trees['memory']}/memory.oom_control"
    return _field(_read(path), "oom_kill") or 0


def _pids(path: str) -> list[int]:
    return [int(line) for line in _read(f"{path}/cgroup.procs").split()]


def _innermost_pid(pid: int) -> int | None:
    """The pid of a process in its own namespace."""
    for line in _read(f"{PROC}/{pid}/status").splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return None


def _set_oom_score(pid: int, score: int) -> None:
    _write(f"{PROC}/{pid}/oom_score_adj", str(score))


def _field(text: str, name: str) -> int | None:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return None


def _make(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)


def _read(path: str) -> str:
    """What a kernel file says; nothing where it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 1 << 20).decode()
    except OSError:
        return ""
    finally:
        os.close(fd)


def _opened(path: str, until: contextlib.ExitStack) -> int:
    """A kernel file to write to, open as long as `until` is. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    until.callback(os.close, fd)
    return fd


def _write(path: str, text: str) -> None:
    """Writes to a kernel file. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _write_if_there(path: str, text: str) -> None:
    """Writes to a kernel file that may be gone."""
    with contextlib.suppress(OSError):
        _write(path, text)
