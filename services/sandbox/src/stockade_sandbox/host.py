"""What this host has to give."""

import os
from pathlib import Path

from stockade_sandbox.domain.sandbox import Limits


def capacity(images: Path) -> Limits:
    """Cores, memory, room for quota images where they lie, and processes."""
    disk = os.statvfs(images)
    return Limits(
        cpu=float(len(os.sched_getaffinity(0))),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk=disk.f_frsize * disk.f_blocks,
        pids=int(Path("/proc/sys/kernel/pid_max").read_text()),
    )
