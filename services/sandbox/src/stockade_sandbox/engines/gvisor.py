"""What the GVISOR tier needs beside Docker: live memory, written and read by gVisor's own runtime.

Docker's checkpoints are for experimental daemons only. So memory is written by the runtime that deploy/host/runsc put
in place, and a container for which `restore/<its id>` names such a checkpoint begins with that when Docker starts it.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stockade_sandbox.domain.errors import EngineRefused, SocketsOpen

PLACE = Path("/var/lib/stockade/runsc")
_SECONDS = 60
_OPEN_SOCKET = "SCMConnectedEndpoint"
"""In gVisor's message where a socket of the host is open: it has no way to keep one."""


def checkpoint(container_id: str, init_pid: int, directory: Path) -> None:
    """Write a container's live memory to `directory`; it runs on. Raises SocketsOpen, EngineRefused."""
    command = [str(PLACE / "runtime"), "--root", _root(init_pid), "checkpoint", "--leave-running", "--compression=none",
               f"--image-path={directory}", container_id]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode == 0:
        return
    if _OPEN_SOCKET in done.stderr:
        raise SocketsOpen
    raise EngineRefused(f"its memory could not be written: {done.stderr.strip()[:300]}")


@contextmanager
def beginning_with(container_id: str, directory: Path) -> Iterator[None]:
    """While this lasts, a start of the container goes on from the memory in `directory`."""
    mark = PLACE / "restore" / container_id
    mark.symlink_to(directory)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            mark.unlink()


def _root(init_pid: int) -> str:
    """Where the runtime keeps what it knows of the container, as the engine told it. Raises EngineRefused."""
    try:
        arguments = Path(f"/proc/{init_pid}/cmdline").read_bytes().split(b"\0")
    except OSError as error:
        raise EngineRefused("it has just ended") from error
    for argument in arguments:
        if argument.startswith(b"--root="):
            return argument.removeprefix(b"--root=").decode()
    raise EngineRefused(f"its init, process {init_pid}, is no gVisor sandbox")
