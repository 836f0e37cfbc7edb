"""Calls of the kernel that Python's standard library does not offer."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446  # on every architecture
_LANDLOCK_RULE_PATH_BENEATH = 1
_SECCOMP_MODE_FILTER = 2

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


def filter_calls(program: bytes) -> None:
    """Holds this process and its descendants to one more seccomp filter, an array of `struct sock_filter`."""
    instructions = ctypes.create_string_buffer(program, len(program))
    whole = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
    if _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), whole, 0, 0) != 0:
        raise _last_error("")


def adopt_orphans() -> None:
    """Orphaned descendants of this process become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def rename_without_replacing(source: str, destination: str) -> None:
    """Renames, unless `destination` is there (renameat2 with RENAME_NOREPLACE)."""
    at_cwd, no_replace = -100, 1
    if _libc.renameat2(at_cwd, os.fsencode(source), at_cwd, os.fsencode(destination), no_replace) == 0:
        return
    error = _last_error(source)
    if error.errno != errno.EINVAL:
        raise error
    _rename_in_two_steps(source, destination)  # gVisor's kernel knows no such flag


def _rename_in_two_steps(source: str, destination: str) -> None:
    """Takes the name first, which fails where it is there: by a second link, or an empty directory to replace."""
    if os.path.isdir(source) and not os.path.islink(source):
        os.mkdir(destination)
        try:
            os.rename(source, destination)
        except OSError:
            os.rmdir(destination)
            raise
    else:
        os.link(source, destination, follow_symlinks=False)
        os.unlink(source)


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


def landlock_version() -> int:
    """The ABI of Landlock that the kernel has; 0: none."""
    version: int = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, version)


def landlock_ruleset(handled: int) -> int:
    """A ruleset that denies the file accesses in `handled` wherever no rule allows them; its descriptor."""
    attributes = struct.pack("Q", handled)
    fd: int = _libc.syscall(
        ctypes.c_long(_LANDLOCK_CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    if fd < 0:
        raise _last_error("")
    os.set_inheritable(fd, False)
    return fd


def landlock_allow(ruleset: int, place: int, access: int) -> None:
    """Allows `access` at and below an open path."""
    rule = struct.pack("=Qi", access, place)
    arguments = ctypes.c_int(ruleset), ctypes.c_int(_LANDLOCK_RULE_PATH_BENEATH), rule, ctypes.c_uint32(0)
    if _libc.syscall(ctypes.c_long(_LANDLOCK_ADD_RULE), *arguments) != 0:
        raise _last_error("")


def landlock_restrict(ruleset: int) -> None:
    """Holds the calling process to a ruleset."""
    if _libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)) != 0:
        raise _last_error("")


def _last_error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
