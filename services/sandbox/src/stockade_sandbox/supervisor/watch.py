"""Changes of files, from the kernel's inotify."""

from __future__ import annotations

import json
import os
import struct

from . import kernel
from .files import TEMPORARY, write_all

_EVENT = struct.Struct("iIII")
_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x4, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _OVERFLOW, _IGNORED, _IS_DIRECTORY = 0x400, 0x800, 0x4000, 0x8000, 0x40000000
_WANTED = _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_KINDS = (
    (_CREATE | _MOVED_TO, "CREATED"),
    (_MODIFY, "WRITTEN"),
    (_ATTRIB, "ATTRIBUTES"),
    (_DELETE | _MOVED_FROM | _DELETE_SELF | _MOVE_SELF, "REMOVED"),
)


def watch(path: str, recursive: bool) -> dict[str, object]:
    """Tells changes below `path` on standard output until it is killed or `path` is removed: one JSON list a line.

    The first line is empty and says that the watch is in place.
    """
    inotify = kernel.inotify()
    places: dict[int, str] = {}
    _add(inotify, places, path, "", recursive)
    _tell([])
    while places:
        changes: list[dict[str, object]] = []
        for number, mask, name in _events(inotify):
            if mask & _OVERFLOW:
                changes.append({"kind": "OVERFLOW"})
            elif mask & _IGNORED:
                places.pop(number, None)
            elif number in places and not _is_ours(os.path.join(path, places[number], name), mask):
                changes.append(_change(inotify, places, path, number, mask, name, recursive))
        if changes:
            _tell(changes)
    return {}


def _events(inotify: int) -> list[tuple[int, int, str]]:
    data = os.read(inotify, 64 * 1024)
    events = []
    start = 0
    while start < len(data):
        number, mask, _cookie, length = _EVENT.unpack_from(data, start)
        start += _EVENT.size
        events.append((number, mask, data[start : start + length].rstrip(b"\0").decode("utf-8", "replace")))
        start += length
    return events


def _change(
    inotify: int, places: dict[int, str], base: str, number: int, mask: int, name: str, recursive: bool
) -> dict[str, object]:
    below = os.path.join(places[number], name) if name else places[number]
    directory = bool(mask & _IS_DIRECTORY)
    if recursive and directory and mask & (_CREATE | _MOVED_TO):
        _add(inotify, places, os.path.join(base, below), below, recursive)
    kind = next(kind for bits, kind in _KINDS if mask & bits)
    return {"kind": kind, "path": below, "directory": directory}


def _is_ours(path: str, mask: int) -> bool:
    """Whether it is a step of writing a file: the kernel calls one without a name '#' and its inode's number."""
    name = os.path.basename(path)
    unnamed = mask & (_MODIFY | _ATTRIB) and name[:1] == "#" and name[1:].isdigit() and not os.path.lexists(path)
    return bool(unnamed) or name.startswith(TEMPORARY)


def _add(inotify: int, places: dict[int, str], path: str, below: str, recursive: bool) -> None:
    """Watches a directory, and those in it; one that has gone meanwhile is passed over, save the first."""
    try:
        places[kernel.add_watch(inotify, path, _WANTED)] = below
    except FileNotFoundError:
        if not below:
            raise
        return
    if recursive and os.path.isdir(path):
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in names:
            _add(inotify, places, os.path.join(path, name), os.path.join(below, name), recursive)


def _tell(changes: list[dict[str, object]]) -> None:
    write_all(1, json.dumps(changes, separators=(",", ":")).encode() + b"\n")
