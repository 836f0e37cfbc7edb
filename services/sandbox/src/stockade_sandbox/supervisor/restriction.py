"""Landlock for the agent's processes: a second wall behind the mounts and the kernel's own rules.

Each exec is a domain of its own: it writes only where the sandbox is writable, makes no device anywhere, and neither
traces nor reads the memory of a process outside (the supervisor, other execs). See landlock(7).
"""

from __future__ import annotations

import os

from . import kernel

_WRITE_FILE, _MAKE_CHAR, _MAKE_BLOCK, _REFER, _TRUNCATE, _IOCTL_DEV = (1 << bit for bit in (1, 6, 11, 13, 14, 15))
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_OF_FILES = _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
_SPECIAL_PLACES = ("/proc", "/dev")
"""Where programs write to files that are there (/proc/self/…, /dev/null, /dev/pts/…) and make none."""


class Restriction:
    """What each exec is held to, prepared once. `version` is the kernel's Landlock ABI, 0 where it is not applied.

    Before ABI 2 a file could not be moved between directories at all, which would break ordinary programs.
    """

    def __init__(self, places: list[str]) -> None:
        self.version = kernel.landlock_version()
        self.ruleset = -1
        """The descriptor to restrict by; -1 where nothing is applied."""
        if self.version < 2:
            self.version = 0
            return
        handled = _REMOVE_AND_MAKE | _WRITE_FILE | _REFER
        handled |= _TRUNCATE if self.version >= 3 else 0
        handled |= _IOCTL_DEV if self.version >= 5 else 0
        self.ruleset = kernel.landlock_ruleset(handled)
        for place in _SPECIAL_PLACES:
            self._allow(place, handled & _OF_FILES)
        for place in places:
            self._allow(place, handled & ~(_MAKE_CHAR | _MAKE_BLOCK))

    def _allow(self, place: str, access: int) -> None:
        try:
            fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            kernel.landlock_allow(self.ruleset, fd, access if os.path.isdir(place) else access & _OF_FILES)
        finally:
            os.close(fd)
