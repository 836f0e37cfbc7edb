"""Views of a folder that sandboxes share, one for each: the same files, by inodes of its own.

Locks, leases and watches (flock(2), fcntl(2), inotify(7)) act on inodes. Were the folder itself in two sandboxes, each
could tell by them what the other opens, reads and locks there. An overlay without an upper layer has its own inodes
over one copy in the page cache; see Documentation/filesystems/overlayfs.rst of the kernel.
"""

import ctypes
import os
import re
from pathlib import Path

_READ_ONLY, _NO_SETUID, _NO_DEVICES = 1, 2, 4  # MS_RDONLY, MS_NOSUID, MS_NODEV: mount(2)
_DETACH = 2  # MNT_DETACH: umount2(2)

_libc = ctypes.CDLL(None, use_errno=True)


class Views:
    """Views mounted at `places`/<name>, by system calls: a command would take longer than the mount itself."""

    def __init__(self, places: Path) -> None:
        self._places = places
        self._nothing = places / ".nothing"

    def place(self, name: str) -> Path:
        """Where a view of that name is."""
        return self._places / name

    def show(self, folder: Path, name: str) -> Path:
        """Mount a read-only view of a folder; where. Raises OSError."""
        self._nothing.mkdir(parents=True, exist_ok=True, mode=0o755)  # an overlay wants two layers
        place = self.place(name)
        place.mkdir(exist_ok=True)
        layers = f"lowerdir={_escaped(folder)}:{_escaped(self._nothing)}"
        flags = ctypes.c_ulong(_READ_ONLY | _NO_SETUID | _NO_DEVICES)
        _check(_libc.mount(b"overlay", os.fsencode(place), b"overlay", flags, os.fsencode(layers)), place)
        return place

    def drop(self, name: str) -> None:
        """Take the view away; one that is not there is no error. Raises OSError."""
        place = self.place(name)
        if os.path.ismount(place):
            # A container that is just going may hold it for a moment longer.
            _check(_libc.umount2(os.fsencode(place), _DETACH), place)
        if place.exists():
            place.rmdir()


def _escaped(path: Path) -> str:
    """A path as a layer in mount options, where a colon and a comma end it."""
    return re.sub(r"([\\:,])", r"\\\1", str(path))


def _check(result: int, place: Path) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(place))
