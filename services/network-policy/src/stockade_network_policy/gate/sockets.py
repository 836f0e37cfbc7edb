"""Unix sockets: whether somebody listens, and who may connect."""

import errno
import os
import socket
from pathlib import Path


def accepts(path: Path) -> bool:
    """Whether somebody listens; a connect to a Unix socket never waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(str(path)) in (0, errno.EAGAIN)


def clear(*paths: Path) -> None:
    """Take away the sockets' files; one that is not there is no error."""
    for path in paths:
        path.unlink(missing_ok=True)


def open_to_directory(path: Path) -> None:
    """Let whoever can enter the directory connect: its mode is the gate, not the socket's."""
    os.chmod(path, 0o666)  # noqa: S103 - see above
