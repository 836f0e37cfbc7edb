"""What a sandbox has used, from the kernel's own accounts: cgroup files of version 1 and 2.

Read directly, since the engine's stats block for a second. Files:
https://docs.kernel.org/admin-guide/cgroup-v1/ and https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import os
from collections.abc import Mapping
from pathlib import Path

from stockade_sandbox.domain.usage import Cpu, Memory, Pids

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")

_UNLIMITED = 1 << 62
_TICKS = os.sysconf("SC_CLK_TCK")


def read(init_pid: int, root: Path = CGROUP_ROOT, proc: Path = PROC) -> tuple[Cpu, Memory, Pids]:
    """The accounts of the container that `init_pid` is the init of. Raises FileNotFoundError when it is gone."""
    groups = _groups((proc / str(init_pid) / "cgroup").read_text())
    if "memory" in groups:
        directories = {name: root / name / groups[name].lstrip("/") for name in ("cpu", "cpuacct", "memory", "pids")}
        return _cpu_v1(directories), _memory_v1(directories["memory"]), _pids(directories["pids"])
    directory = root / groups[""].lstrip("/")
    return _cpu_v2(directory), _memory_v2(directory), _pids(directory)


def _groups(text: str) -> dict[str, str]:
    """Controller to path, from /proc/<pid>/cgroup; version 2 under the empty name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def _cpu_v1(directories: Mapping[str, Path]) -> Cpu:
    throttling = _table(directories["cpu"] / "cpu.stat")
    split = _table(directories["cpuacct"] / "cpuacct.stat")
    return Cpu(
        total_s=_number(directories["cpuacct"] / "cpuacct.usage") / 1e9,
        user_s=split["user"] / _TICKS,
        system_s=split["system"] / _TICKS,
        periods=throttling["nr_periods"],
        throttled_periods=throttling["nr_throttled"],
        throttled_s=throttling["throttled_time"] / 1e9,
    )


def _cpu_v2(directory: Path) -> Cpu:
    found = _table(directory / "cpu.stat")
    return Cpu(
        total_s=found["usage_usec"] / 1e6,
        user_s=found["user_usec"] / 1e6,
        system_s=found["system_usec"] / 1e6,
        periods=found.get("nr_periods", 0),
        throttled_periods=found.get("nr_throttled", 0),
        throttled_s=found.get("throttled_usec", 0) / 1e6,
    )


def _memory_v1(directory: Path) -> Memory:
    stat = _table(directory / "memory.stat")
    return Memory(
        used=_number(directory / "memory.usage_in_bytes"),
        peak=_number(directory / "memory.max_usage_in_bytes"),
        cache=stat["total_cache"],
        swap=stat.get("total_swap", 0),
        limit=_limit(directory / "memory.limit_in_bytes"),
        oom_kills=_table(directory / "memory.oom_control").get("oom_kill", 0),
    )


def _memory_v2(directory: Path) -> Memory:
    return Memory(
        used=_number(directory / "memory.current"),
        peak=_number(directory / "memory.peak"),  # absent before Linux 5.19
        cache=_table(directory / "memory.stat")["file"],
        swap=_number(directory / "memory.swap.current"),
        limit=_limit(directory / "memory.max"),
        oom_kills=_table(directory / "memory.events").get("oom_kill", 0),
    )


def _pids(directory: Path) -> Pids:
    return Pids(
        used=_number(directory / "pids.current"),
        limit=_limit(directory / "pids.max"),
        refused=_table(directory / "pids.events").get("max", 0),
    )


def _number(path: Path) -> int:
    """The file's one number; 0 where this kernel has no such file."""
    try:
        return int(path.read_text())
    except FileNotFoundError:
        if not path.parent.exists():
            raise
        return 0


def _limit(path: Path) -> int:
    """A limit; 0 for none."""
    text = path.read_text().strip()
    return 0 if text == "max" or int(text) >= _UNLIMITED else int(text)


def _table(path: Path) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in path.read_text().splitlines())}
