"""Where tests keep what need not outlive a power cut: in memory, since a disk may stall.

A record that waits 250 ms for its disk refuses what was asked, as it should; tests of anything else must not see that.
Measurements, which are no tests, keep to the disk.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2 << 30  # a container's /dev/shm may be a few MiB
_place = "/tmp"


def use_for_tests() -> None:
    """Keep what comes from now on in memory, where the machine has room for it."""
    global _place
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
        _place = str(_MEMORY)


def place() -> str:
    """Where directories of tests are made, with names short enough for sockets."""
    return _place


@contextmanager
def record_of(state_dir: Path) -> Iterator[None]:
    """Has the audit record below a new `state_dir` kept at `place()`, and the rest where it is.

    Sandboxes' disks stay: what a sandbox writes to a disk in memory would count as its memory.
    """
    record = Path(tempfile.mkdtemp(prefix="record-", dir=place()))
    record.chmod(0o755)
    state_dir.mkdir(parents=True, exist_ok=True)
    os.symlink(record, state_dir / "audit")
    try:
        yield
    finally:
        shutil.rmtree(record, ignore_errors=True)
