"""The places that programs of the sandbox can write to, as the kernel lists them."""

from __future__ import annotations

import os

_KINDS = frozenset(("ext4", "tmpfs", "xfs", "btrfs", "overlay", "fuse", "9p"))


def writable(path: str = "/proc/self/mounts") -> list[str]:
    """Mount points that are not read-only, of file systems that hold files."""
    with open(path, encoding="utf-8", errors="surrogateescape") as mounts:
        entries = [line.split(" ") for line in mounts]
    return [
        _unescape(place)
        for _source, place, kind, options, *_rest in entries
        if kind in _KINDS and options.split(",")[0] == "rw"
    ]


def full(places: list[str]) -> list[str]:
    """Those of `places` that have no block or no inode left for the agent."""
    return [place for place in places if _is_full(place)]


def _is_full(place: str) -> bool:
    try:
        room = os.statvfs(place)
    except OSError:
        return False
    return room.f_blocks > 0 and (room.f_bavail == 0 or (room.f_files > 0 and room.f_favail == 0))


def _unescape(place: str) -> str:
    """Blanks, tabs, line feeds and backslashes stand there as octal escapes."""
    for escape in ("040", "011", "012", "134"):
        place = place.replace("\\" + escape, chr(int(escape, 8)))
    return place
