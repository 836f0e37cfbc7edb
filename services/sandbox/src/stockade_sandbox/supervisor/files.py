"""File operations, done by a child of the supervisor in the agent's uid and in a cgroup of its own.

The operation's input is standard input and its output standard output. Its last word is one JSON object on standard
error: what it did, or `{"errno": …, "path": …, "detail": …}`. The exit code is 0 or 1. Nothing here protects the
sandbox from the agent, who may do all of it by itself; what it protects is the caller, who must get what it asked for.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
from typing import Any

from . import kernel

_CHUNK = 64 * 1024
_INPUT, _OUTPUT, _RESULT = 0, 1, 2

Order = dict[str, Any]
"""The operation: "op", and its fields."""

TEMPORARY = ".stockade."
"""How the name begins that a file has for a moment before it takes another's."""


class Refused(Exception):
    """What is asked will not be done; the text says why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(why)
        self.path = path


def perform(order: object) -> int:
    """Does one operation; the exit code."""
    assert isinstance(order, dict)
    path = str(order.get("path", ""))
    try:
        result = _OPERATIONS[str(order["op"])](order)
    except Refused as error:
        return _fail("REFUSED", error.path, str(error))
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "EIO")
        said = _text(error.filename)
        return _fail(name, said if said.startswith("/") else path, os.strerror(error.errno or errno.EIO))
    except MemoryError:
        return _fail("ENOMEM", path, "no memory left in the sandbox")
    _say(_RESULT, result)
    return 0


def _fail(name: str, path: str, detail: str) -> int:
    _say(_RESULT, {"errno": name, "path": path, "detail": detail})
    return 1


def _say(fd: int, message: dict[str, object]) -> None:
    write_all(fd, json.dumps(message, separators=(",", ":")).encode() + b"\n")


def write_all(fd: int, data: bytes) -> None:
    """Writes all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def info(path: str, dir_fd: int | None = None) -> dict[str, object]:
    """What a path names; a link is not followed."""
    found = os.lstat(path, dir_fd=dir_fd)
    kind = {stat.S_IFREG: "FILE", stat.S_IFDIR: "DIRECTORY", stat.S_IFLNK: "LINK"}
    name = kind.get(stat.S_IFMT(found.st_mode), "OTHER")
    return {
        "path": _text(path),
        "kind": name,
        "size": found.st_size,
        "mode": stat.S_IMODE(found.st_mode),
        "modify_ns": found.st_mtime_ns,
        "target": _text(os.readlink(path, dir_fd=dir_fd)) if name == "LINK" else "",
    }


def _text(path: object) -> str:
    """A path for JSON; bytes that are not UTF-8 are shown, not kept."""
    return os.fsencode(path).decode("utf-8", "replace") if isinstance(path, (str, bytes)) else ""


def _stat(order: Order) -> dict[str, object]:
    return info(order["path"])


def _list(order: Order) -> dict[str, object]:
    """Entries after `after`, in order of names, at most `limit`; one JSON object a line."""
    names = sorted(name for name in os.listdir(order["path"]) if name > order["after"])
    directory = os.open(order["path"], os.O_RDONLY | os.O_DIRECTORY)
    for name in names[: order["limit"]]:
        try:
            _say(_OUTPUT, info(name, directory))
        except FileNotFoundError:
            continue
    return {"more": len(names) > order["limit"]}


def _read(order: Order) -> dict[str, object]:
    """A line of JSON about the file, then its bytes."""
    fd = os.open(order["path"], os.O_RDONLY | os.O_NONBLOCK)
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "", order["path"])
    if not stat.S_ISREG(found.st_mode):
        raise Refused(order["path"], "only regular files are read")
    _say(_OUTPUT, info(os.path.realpath(order["path"])))
    os.lseek(fd, order["offset"], os.SEEK_SET)
    left = order["length"] or sys.maxsize
    while left > 0:
        data = os.read(fd, min(_CHUNK, left))
        if not data:
            break
        write_all(_OUTPUT, data)
        left -= len(data)
    return {}


def _write(order: Order) -> dict[str, object]:
    """Bytes from standard input into a file: whole or not at all, unless it appends."""
    path = os.path.realpath(order["path"])
    mode = order["mode"] or 0o644
    if order["parents"]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    if order["append"]:
        _copy(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode))
    else:
        _replace(path, mode)
    return info(path)


def _replace(path: str, mode: int) -> None:
    """Fills a file without a name, which a killed call leaves no trace of, and gives it the name at the end.

    gVisor's kernel knows no such file: there it has a name of ours from the start, and a killed call leaves it.
    """
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    temporary = TEMPORARY + os.urandom(8).hex()
    fd = _nameless(directory)
    nameless = fd >= 0
    if not nameless:
        fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=directory)
    try:
        _copy(fd)
        os.fchmod(fd, mode)
        if nameless:
            os.link(f"/proc/self/fd/{fd}", temporary, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=True)
        os.rename(temporary, os.path.basename(path), src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _nameless(directory: int) -> int:
    """A new file without a name; -1 where the kernel has none."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return -1


def _copy(fd: int) -> None:
    while True:
        data = os.read(_INPUT, _CHUNK)
        if not data:
            return
        write_all(fd, data)


def _make_directory(order: Order) -> dict[str, object]:
    mode = order["mode"] or 0o755
    if order["parents"]:
        os.makedirs(order["path"], mode, exist_ok=True)
    else:
        os.mkdir(order["path"], mode)
    return info(order["path"])


def _move(order: Order) -> dict[str, object]:
    if order["replace"]:
        os.rename(order["path"], order["destination"])
    else:
        kernel.rename_without_replacing(order["path"], order["destination"])
    return info(order["destination"])


def _remove(order: Order) -> dict[str, object]:
    path = order["path"]
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
        elif order["recursive"]:
            import shutil

            shutil.rmtree(path)
        else:
            os.rmdir(path)
    except FileNotFoundError:
        if not order["allow_missing"]:
            raise
    return {}


def _unpack(order: Order) -> dict[str, object]:
    from .archive import unpack

    return unpack(order["path"], order["max_bytes"], order["max_files"])


def _pack(order: Order) -> dict[str, object]:
    from .archive import pack

    return pack(order["path"], order["gzip"])


def _watch(order: Order) -> dict[str, object]:
    from .watch import watch

    return watch(order["path"], order["recursive"])


_OPERATIONS = {
    "stat": _stat,
    "list": _list,
    "read": _read,
    "write": _write,
    "mkdir": _make_directory,
    "move": _move,
    "remove": _remove,
    "unpack": _unpack,
    "pack": _pack,
    "watch": _watch,
}
