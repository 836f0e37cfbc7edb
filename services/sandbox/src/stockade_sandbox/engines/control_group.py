"""The cgroup of a sandbox that no engine makes one for: limits, freezing, and what the kernel killed in it.

Version 1 and version 2 (docs.kernel.org/admin-guide/cgroup-v1, …/cgroup-v2). Directories are `stockade/<name>` below
the root of each tree.
"""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from stockade_sandbox.domain.sandbox import Limits

ROOT = Path("/sys/fs/cgroup")
_PARENT = "stockade"
_V1_TREES = ("memory", "pids", "freezer", "cpu", "cpuset")
_PERIOD_US = 100_000
_REMOVE_SECONDS = 5.0


class ControlGroup:
    """One sandbox's cgroup, made or not."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        self._root = root
        self._unified = (root / "cgroup.controllers").exists()
        trees = [root] if self._unified else [root / tree for tree in _V1_TREES]
        self._places = [tree / _PARENT / name for tree in trees]

    def make(self, limits: Limits, cpus: Sequence[int]) -> None:
        """Makes it with its limits. Raises OSError where this process may not."""
        if self._unified:
            self._pass_controllers_on()
        for place in self._places:
            place.mkdir(parents=True, exist_ok=True)
        if not self._unified:
            self._inherit_memory_nodes()
        self._file("cpuset", "cpuset.cpus").write_text(",".join(map(str, cpus)))
        self.limit(limits)

    def limit(self, limits: Limits) -> None:
        """Sets memory (no swap), pids and CPU."""
        quota = int(limits.cpu * _PERIOD_US)
        self._file("pids", "pids.max").write_text(str(limits.pids))
        if self._unified:
            self._file("memory", "memory.max").write_text(str(limits.memory))
            with contextlib.suppress(OSError):  # a kernel without swap accounting has none to limit
                self._file("memory", "memory.swap.max").write_text("0")
            self._file("cpu", "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            self._limit_memory_v1(limits.memory)
            self._file("cpu", "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            self._file("cpu", "cpu.cfs_quota_us").write_text(str(quota))

    def entrances(self) -> list[str]:
        """The files that a process writes its pid to in order to enter."""
        return [str(place / "cgroup.procs") for place in self._places]

    def freeze(self, wanted: bool) -> None:
        """Lets it stand still, or go on."""
        if self._unified:
            self._file("", "cgroup.freeze").write_text(str(int(wanted)))
        else:
            self._file("freezer", "freezer.state").write_text("FROZEN" if wanted else "THAWED")

    def frozen(self) -> bool:
        """Whether it stands still."""
        if self._unified:
            return "frozen 1" in _read(self._file("", "cgroup.events"))
        return _read(self._file("freezer", "freezer.state")).strip() in ("FROZEN", "FREEZING")

    def oom_kills(self) -> int:
        """Processes in it, or in its children where this version tells, that the kernel killed for memory."""
        name = "memory.events" if self._unified else "memory.oom_control"
        for line in _read(self._file("memory", name)).splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def remove(self) -> None:
        """Kills what is in it and removes it. Raises TimeoutError when something in it does not die."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        self._thaw_all()
        while self._kill():
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes in {self._places[0]} do not die")
            time.sleep(0.005)
        for place in self._places:
            for directory, _names, _files in os.walk(place, topdown=False):
                os.rmdir(directory)
            with contextlib.suppress(OSError):  # others are in it
                place.parent.rmdir()

    def _thaw_all(self) -> None:
        """What is frozen in version 1, execs included, does not die."""
        state = "cgroup.freeze" if self._unified else "freezer.state"
        for file in self._file("freezer", "").glob(f"**/{state}"):
            with contextlib.suppress(OSError):
                file.write_text("0" if self._unified else "THAWED")

    def _kill(self) -> bool:
        """Kills what is in it and its children; whether there was anything."""
        pids = [int(pid) for file in self._places[0].glob("**/cgroup.procs") for pid in _read(file).split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def _file(self, tree: str, name: str) -> Path:
        place = self._places[0] if self._unified else self._places[_V1_TREES.index(tree)]
        return place / name

    def _limit_memory_v1(self, memory: int) -> None:
        """Memory and memory with swap are one limit; the second may never be below the first, so the order counts."""
        limit, with_swap = (self._file("memory", f"memory.{kind}limit_in_bytes") for kind in ("", "memsw."))
        if not with_swap.exists():
            limit.write_text(str(memory))
            return
        rising = int(_read(limit)) < memory
        for file in (with_swap, limit) if rising else (limit, with_swap):
            file.write_text(str(memory))

    def _inherit_memory_nodes(self) -> None:
        """A cpuset of version 1 is empty until it is filled, the parent's first."""
        place = self._file("cpuset", "")
        for child in (place.parent, place):
            for name in ("cpuset.mems", "cpuset.cpus"):
                if not _read(child / name).strip():
                    (child / name).write_text(_read(child.parent / name))

    def _pass_controllers_on(self) -> None:
        parent = self._root / _PARENT
        parent.mkdir(exist_ok=True)
        for place in (self._root, parent):
            (place / "cgroup.subtree_control").write_text("+memory +pids +cpu +cpuset")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
