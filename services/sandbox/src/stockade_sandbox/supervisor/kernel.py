"""Calls of the kernel that Python's standard library does not offer."""

from __future__ import annotations

import ctypes
import os

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise _last_error("")


def hide() -> None:
    """Makes this process non-dumpable: others of its uid can neither trace it nor read its /proc files."""
    _prctl(_PR_SET_DUMPABLE, 0)


def renounce_privileges() -> None:
    """No program started from here on gains privileges, whatever bits its file carries."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def adopt_orphans() -> None:
    """Orphaned descendants of this process become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def rename_without_replacing(source: str, destination: str) -> None:
    """Renames, unless `destination` is there (renameat2 with RENAME_NOREPLACE)."""
    at_cwd, no_replace = -100, 1
    if _libc.renameat2(at_cwd, os.fsencode(source), at_cwd, os.fsencode(destination), no_replace) != 0:
        raise _last_error(source)


def inotify() -> int:
    """A new inotify instance."""
    fd: int = _libc.inotify_init1(os.O_CLOEXEC)
    if fd < 0:
        raise _last_error("")
    return fd


def add_watch(instance: int, path: str, mask: int) -> int:
    """Watches `path` on an inotify instance; the watch's number."""
    number: int = _libc.inotify_add_watch(instance, os.fsencode(path), ctypes.c_uint32(mask))
    if number < 0:
        raise _last_error(path)
    return number


def _last_error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
