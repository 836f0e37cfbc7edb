"""How much of the host's disk the device of one sandbox may take.

What a program writes lies in the host's memory until the kernel writes it back, in nobody's name (docs.kernel.org:
admin-guide/cgroup-v1/blkio-controller). So two things are held at the device itself: the bytes that may wait there to
be written (admin-guide/abi-testing, /sys/class/bdi), and, by the root's group of cgroup version 1, the rate. Version 2
has no such limit at the root: there the first alone holds.
"""

import os
from contextlib import suppress
from pathlib import Path

_BDI = Path("/sys/class/bdi")
_GROUP = Path("/sys/fs/cgroup/blkio")
_RATES = ("read_bps_device", "write_bps_device")
_WAITING_BYTES = 16 << 20


def hold(mount: Path, bytes_per_second: int) -> None:
    """Hold the device mounted at `mount` to that rate, each way; 0: to none. A kernel that cannot is left as it is."""
    device = _device(mount)
    bdi = _BDI / device
    _tell(bdi / "strict_limit", "1")
    if not _tell(bdi / "max_bytes", str(_WAITING_BYTES)):
        _tell(bdi / "max_ratio", "1")  # before Linux 6.2: one percent of what may be dirty
    _limit(device, bytes_per_second)


def let_go(mount: Path) -> None:
    """Hold it to nothing: its next user may be another's."""
    device = _device(mount)
    _limit(device, 0)
    _tell(_BDI / device / "max_ratio", "100")
    _tell(_BDI / device / "strict_limit", "0")


def _limit(device: str, bytes_per_second: int) -> None:
    for rate in _RATES:
        _tell(_GROUP / f"blkio.throttle.{rate}", f"{device} {bytes_per_second}")


def _device(mount: Path) -> str:
    number = mount.stat().st_dev
    return f"{os.major(number)}:{os.minor(number)}"


def _tell(file: Path, text: str) -> bool:
    """Whether the kernel has this file and took it."""
    with suppress(OSError):
        file.write_text(text)
        return True
    return False
