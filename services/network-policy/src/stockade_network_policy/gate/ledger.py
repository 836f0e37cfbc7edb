"""The doors that should be open, one file each, so that a service started again knows them.

They live under run_dir: no door outlives the host's boot, and a page cache survives the end of a process, so that no
write waits for a disk.
"""

from collections.abc import Iterator
from pathlib import Path

from stockade_rpckit.logs import get_logger

from stockade_network_policy.gate.door import Door

log = get_logger(__name__)


class Ledger:
    """A directory of doors."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def load(self) -> Iterator[Door]:
        """Every door whose sockets could still be opened; what cannot be read is reported and left out."""
        for path in sorted(self._directory.glob("*.json")):
            try:
                door = Door.from_json(path.read_text())
            except (ValueError, KeyError, TypeError):
                log.error("a door's file cannot be read: the door stays closed", extra={"path": str(path)})
                continue
            if all(socket.parent.is_dir() for socket in door.sockets().values()):
                yield door
            else:
                path.unlink()

    def put(self, door: Door) -> None:
        """Write a door's file, whole or not at all."""
        path = self._path(door.sandbox)
        draft = path.with_suffix(".draft")
        draft.write_text(door.to_json())
        draft.rename(path)

    def remove(self, sandbox: str) -> None:
        """Forget a door; one that is not there is no error."""
        self._path(sandbox).unlink(missing_ok=True)

    def _path(self, sandbox: str) -> Path:
        return self._directory / f"{sandbox}.json"
