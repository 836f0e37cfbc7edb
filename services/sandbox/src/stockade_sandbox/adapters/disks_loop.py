"""Quotas on disk without a quota in the kernel: one ext4 image a sandbox, mounted by a loop device.

An image ends on the mark with ENOSPC, inodes too. It is sparse, so admission counts what every image may still grow
by, and refuses what the host's disk could not hold.
"""

import os
import shutil
import subprocess
from pathlib import Path

from stockade_rpckit import threads

from stockade_sandbox.adapters import pace
from stockade_sandbox.domain.errors import NodeFull, SnapshotNotFound
from stockade_sandbox.domain.usage import Disk

_BYTES_PER_INODE = 8192
_MOUNT_OPTIONS = "loop,nosuid,nodev,noatime,nobarrier,discard"
_COMMAND_SECONDS = 60


class LoopDisks:
    """See `domain.ports.Disks`. Images lie in `images`, mounted at `mounts`/<name>; copies in `snapshots`."""

    def __init__(
        self, images: Path, mounts: Path, snapshots: Path, reserve: int, node: str, bytes_per_second: int = 0
    ) -> None:
        """`reserve`: bytes of the host's disk that no sandbox may take; `bytes_per_second`: see `pace.hold`."""
        self._images, self._mounts, self._snapshots = images, mounts, snapshots
        self._reserve, self._node, self._bytes_per_second = reserve, node, bytes_per_second
        for directory in (images, mounts, snapshots):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def place(self, name: str) -> Path:
        """See `Disks.place`."""
        return await threads.run(self._place, name)

    async def create(self, name: str, size: int, uid: int, snapshot: str = "") -> None:
        """See `Disks.create`."""
        await threads.run(self._create, name, size, uid, snapshot)

    async def usage(self, name: str) -> Disk:
        """See `Disks.usage`."""
        return await threads.run(self._usage, name)

    async def remove(self, name: str) -> None:
        """See `Disks.remove`."""
        await threads.run(self._remove, name)

    async def names(self) -> set[str]:
        """See `Disks.names`."""
        return await threads.run(self._names)

    async def keep(self, name: str, snapshot: str) -> int:
        """See `Disks.keep`."""
        return await threads.run(self._keep, name, snapshot)

    async def drop(self, snapshot: str) -> None:
        """See `Disks.drop`."""
        await threads.run(self._snapshot(snapshot).unlink, missing_ok=True)

    async def snapshots(self) -> set[str]:
        """See `Disks.snapshots`."""
        return {path.stem for path in await threads.run(lambda: list(self._snapshots.iterdir()))}

    def _place(self, name: str) -> Path:
        mount = self._mounts / name
        mount.mkdir(exist_ok=True, mode=0o700)
        return mount

    def _create(self, name: str, size: int, uid: int, snapshot: str) -> None:
        self._admit(size)
        image, mount = self._image(name), self._place(name)
        if snapshot:
            self._copy(snapshot, image)
        else:
            self._format(image, size, uid)
        _run("mount", "-t", "ext4", "-o", _MOUNT_OPTIONS, str(image), str(mount))
        if snapshot:
            _give(mount, uid)
        else:
            (mount / "lost+found").rmdir()
        pace.hold(mount, self._bytes_per_second)

    def _copy(self, snapshot: str, image: Path) -> None:
        if not self._snapshot(snapshot).exists():
            raise SnapshotNotFound(snapshot)
        _run("cp", "--sparse=always", "--reflink=auto", str(self._snapshot(snapshot)), str(image))

    def _format(self, image: Path, size: int, uid: int) -> None:
        with image.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(_BYTES_PER_INODE), "-O", "^has_journal", "-E",
             f"root_owner={uid}:{uid},lazy_itable_init=1,nodiscard", str(image))  # fmt: skip

    def _keep(self, name: str, snapshot: str) -> int:
        """Frozen, the file system is whole on its image; what writes to it waits until it is let go."""
        image, mount, kept = self._image(name), self._mounts / name, self._snapshot(snapshot)
        self._admit(image.stat().st_blocks * 512)
        _run("fsfreeze", "--freeze", str(mount))
        try:
            _run("cp", "--sparse=always", "--reflink=auto", str(image), str(kept))
        finally:
            _run("fsfreeze", "--unfreeze", str(mount))
        return kept.stat().st_blocks * 512

    def _admit(self, size: int) -> None:
        """Refuse `size` more bytes when all images, grown to their full size, would not fit."""
        growth = sum(map(_growth, self._images.glob("*.img")))
        free = shutil.disk_usage(self._images).free - self._reserve - growth
        if size > free:
            detail = f"its disk has {max(free, 0) >> 20} MiB to promise and {size >> 20} MiB are asked for"
            raise NodeFull(self._node, "disk", f"{detail}; delete sandboxes, or give {self._images} more room")

    def _usage(self, name: str) -> Disk:
        mount = self._mounts / name
        if not os.path.ismount(mount):
            return Disk()
        found = os.statvfs(mount)
        return Disk(
            used=(found.f_blocks - found.f_bfree) * found.f_frsize,
            limit=found.f_blocks * found.f_frsize,
            inodes_used=found.f_files - found.f_ffree,
            inodes_limit=found.f_files,
        )

    def _remove(self, name: str) -> None:
        mount = self._mounts / name
        if os.path.ismount(mount):
            pace.let_go(mount)
            # Lazy: a container that is just going may hold it for a moment longer.
            _run("umount", "--lazy", str(mount))
        if mount.exists():
            mount.rmdir()
        self._image(name).unlink(missing_ok=True)

    def _names(self) -> set[str]:
        return {path.stem for path in self._images.glob("*.img")} | {path.name for path in self._mounts.iterdir()}

    def _image(self, name: str) -> Path:
        return self._images / f"{name}.img"

    def _snapshot(self, name: str) -> Path:
        return self._snapshots / f"{name}.img"


def _growth(image: Path) -> int:
    """By how many bytes an image may still grow; one that was removed just now, by none."""
    try:
        stat = image.stat()
    except FileNotFoundError:
        return 0
    return stat.st_size - stat.st_blocks * 512


def _give(directory: Path, uid: int) -> None:
    """Give all that is below `directory` to `uid`; no link is followed, and no depth is too deep for chown(1)."""
    _run("chown", "--recursive", "--no-dereference", f"{uid}:{uid}", str(directory))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_SECONDS)
    if done.returncode:
        raise OSError(f"{command[0]} failed: {done.stderr.strip() or done.returncode}")
