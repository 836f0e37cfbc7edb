"""Live memories of sandboxes, each a directory that the engine wrote, beside the snapshot of the same name."""

import json
import os
import shutil
from pathlib import Path

from stockade_sandbox.domain.errors import NodeFull, SnapshotNotFound

_MIB = 1 << 20
_SECRETS = "secrets.json"


class Memories:
    """They lie in `directory`, for root alone: what a sandbox has in memory is in them."""

    def __init__(self, directory: Path, reserve: int, node: str) -> None:
        """`reserve`: bytes of the host's disk that no sandbox may take."""
        self._directory, self._reserve, self._node = directory, reserve, node
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def place(self, name: str) -> Path:
        """Where it lies."""
        return self._directory / name

    def make(self, name: str, room: int) -> Path:
        """An empty place for one of at most `room` bytes. Raises NodeFull."""
        free = shutil.disk_usage(self._directory).free - self._reserve
        if room > free:
            detail = f"its disk has {max(free, 0) // _MIB} MiB to give and live memory may take {room // _MIB} MiB"
            raise NodeFull(self._node, "disk", f"{detail}; delete snapshots or sandboxes")
        self.place(name).mkdir(mode=0o700)
        return self.place(name)

    def seal(self, name: str, secrets: list[str]) -> int:
        """It is whole: note what its supervisor knows in it. The bytes that it takes."""
        file = self.place(name) / _SECRETS
        file.touch(mode=0o600)
        file.write_text(json.dumps(secrets))
        return sum(path.stat().st_blocks * 512 for path in self.place(name).iterdir())

    def secrets(self, name: str) -> list[str]:
        """What proves the supervisor that it was taken of. Raises SnapshotNotFound."""
        try:
            return [str(secret) for secret in json.loads((self.place(name) / _SECRETS).read_text())]
        except (OSError, ValueError):
            raise SnapshotNotFound(name) from None

    def drop(self, name: str) -> None:
        """Remove one. One that is not there is no error."""
        shutil.rmtree(self.place(name), ignore_errors=True)

    def names(self) -> set[str]:
        """All that there are, whole or half made."""
        return set(os.listdir(self._directory))
