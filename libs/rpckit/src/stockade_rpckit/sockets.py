"""Unix sockets by their path: whether somebody serves one, and who may connect to it."""

import errno
import os
import socket
import stat
from pathlib import Path


def open_to_directory(path: Path) -> None:
    """Let whoever can enter the directory connect: its mode is the gate, not the socket's.

    Others may write to the directory too, and the caller may be root: no link that stands there by now is followed.
    Raises OSError.
    """
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISSOCK(found.st_mode) or found.st_nlink != 1:
            raise OSError(errno.EPERM, "it is no socket of its own any more", str(path))
        os.chmod(f"/proc/self/fd/{fd}", 0o666)  # noqa: S103 - see above
    finally:
        os.close(fd)


def answers(path: Path) -> bool:
    """Whether a process takes connections there; a file that a killed one left does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
