"""A process's log: JSON lines in a file of bounded size."""

import json
import time
from contextlib import suppress
from pathlib import Path

LONGEST_LINE_BYTES = 64 * 1024


class BoundedLog:
    """Appends lines to `path`; past `limit_bytes` the file becomes `<path>.1`, replacing the one before."""

    def __init__(self, path: Path, process: str, limit_bytes: int) -> None:
        self._path, self._process, self._limit = path, process, limit_bytes
        self._file = path.open("ab", buffering=0)
        self.last_message = ""
        """What the last line says: its `message`, or the whole of a line that is no JSON object."""

    def write(self, line: bytes) -> None:
        """One line, with or without its newline; what is no JSON object is wrapped into one.

        A line that a full disk has no room for is dropped: a process that nobody reads any more would stand still.
        """
        text = line[:LONGEST_LINE_BYTES].decode(errors="replace").rstrip()
        if not text:
            return
        found = _object(text)
        self.last_message = str(found.get("message", text)) if found else text
        with suppress(OSError):
            if self._file.tell() > self._limit:
                self._turn_over()
            self._file.write((text if found else self._wrap(text)).encode() + b"\n")

    def close(self) -> None:
        self._file.close()

    def _wrap(self, text: str) -> str:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return json.dumps({"time": now, "level": "INFO", "service": self._process, "message": text})

    def _turn_over(self) -> None:
        with suppress(FileNotFoundError):  # it was turned over, and there was no room for the next
            self._path.replace(self._path.with_suffix(".log.1"))
        earlier, self._file = self._file, self._path.open("ab", buffering=0)
        earlier.close()


def _object(text: str) -> dict[str, object] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
