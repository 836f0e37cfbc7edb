"""What was seen of an exec and what it used, from its cgroup and from what its supervisor says.

`report` is the payload of EXITED, hostile input: what is no figure in it is zero.
"""

import errno
import os

from stockade_sandbox.cgroups import Counters, ExecCgroup
from stockade_sandbox.domain.ending import Observed, Stop
from stockade_sandbox.domain.execution import Usage

_FULL_DISK = (os.strerror(errno.ENOSPC).encode(), os.strerror(errno.EDQUOT).encode())

_NOTHING = Counters(oom_kills=0, pids_refused=0, peak_memory_bytes=None, cpu_s=None)


def counted(cgroup: ExecCgroup | None) -> Counters:
    """What is counted so far; nothing where there is no cgroup."""
    return cgroup.counters() if cgroup is not None else _NOTHING


def observed(
    status: int, stop: Stop | None, counters: Counters, report: dict[str, object], last_words: bytes
) -> Observed:
    """What is known of an exec whose main process has ended; `last_words`: the end of its standard error."""
    full = report.get("full")
    return Observed(
        status=status,
        stop=stop,
        oom_kills=counters.oom_kills,
        pids_refused=counters.pids_refused,
        full_disks=tuple(str(place)[:256] for place in full[:8]) if isinstance(full, list) else (),
        told_of_full_disk=any(text in last_words for text in _FULL_DISK),
    )


def usage(wall_ns: int, counters: Counters, report: dict[str, object], pids_refused: int, left: int) -> Usage:
    """What it used; where the cgroup does not count it, what the report says."""
    return Usage(
        wall_s=max(0, wall_ns) / 1e9,
        cpu_s=counters.cpu_s if counters.cpu_s is not None else _seconds(report.get("cpu_s")),
        peak_memory_bytes=counters.peak_memory_bytes or _kibibytes(report.get("peak_kib")),
        oom_kills=counters.oom_kills,
        pids_refused=counters.pids_refused or pids_refused,
        processes_left=left,
    )


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e9 else 0.0


def _kibibytes(value: object) -> int:
    return value * 1024 if isinstance(value, int) and 0 <= value < 1 << 40 else 0
