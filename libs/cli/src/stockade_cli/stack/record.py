"""What a running stack says of itself: a lock that proves it runs, and a file that describes it."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO


@dataclass
class ProcessRecord:
    """One process of the stack."""

    name: str
    state: str
    pid: int
    restarts: int
    last_exit: int | None = None


@dataclass
class StackRecord:
    """The stack, as its supervisor last wrote it."""

    pid: int
    started: str
    engine: str
    engine_ours: bool
    state_dir: str
    operator: str
    firewall: str = ""
    """Name of the nftables table; empty where there is none."""
    processes: list[ProcessRecord] = field(default_factory=list)

    def write(self, run_dir: Path) -> None:
        """Replace the file in one step."""
        draft = run_dir / ".stack.json"
        draft.write_text(json.dumps(asdict(self), indent=1))
        draft.replace(_file(run_dir))

    @classmethod
    def read(cls, run_dir: Path) -> "StackRecord | None":
        """What the last stack here wrote, whether it still runs or not."""
        try:
            found = json.loads(_file(run_dir).read_text())
        except (OSError, ValueError):
            return None
        return cls(**{**found, "processes": [ProcessRecord(**process) for process in found["processes"]]})


class Lock:
    """Held by the supervisor for as long as it lives; the kernel lets go of it however that ends."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "stack.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take it, or say that another stack holds it."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return True

    def holder(self) -> int | None:
        """The pid of the supervisor that holds it, or None."""
        try:
            with self._path.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(self._path.read_text() or 0) or None
        except OSError:
            return None
        return None


def _file(run_dir: Path) -> Path:
    return run_dir / "stack.json"
