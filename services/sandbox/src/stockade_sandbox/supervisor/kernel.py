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
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def hide() -> None:
    """Makes this process non-dumpable: others of its uid can neither trace it nor read its /proc files."""
    _prctl(_PR_SET_DUMPABLE, 0)


def renounce_privileges() -> None:
    """No program started from here on gains privileges, whatever bits its file carries."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def adopt_orphans() -> None:
    """Orphaned descendants of this process become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
