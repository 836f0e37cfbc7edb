"""A file operation on its way: an exec whose program is the supervisor's own, with a result in its last words."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from stockade_sandbox.domain.ending import Ending, Reason, Stop
from stockade_sandbox.domain.execution import Command
from stockade_sandbox.domain.files import ArchiveRefused, DiskFull, FileNotFound, FileRefused, SandboxLost
from stockade_sandbox.supervision.execution import Execution
from stockade_sandbox.supervision.output import Gap, Piece
from stockade_sandbox.supervision.supervision import Supervision

_TIMEOUT_S = 3600.0
_MOST_OUTPUT_BYTES = 1 << 50
_LONGEST_RESULT = 64 * 1024
_WITH_INPUT = frozenset({"write", "unpack"})


class Operation:
    """One file operation. Read `output` to its end before asking for the `result`."""

    def __init__(self, sandbox: str, order: Mapping[str, object], execution: Execution) -> None:
        self._sandbox = sandbox
        self._order = order
        self._execution = execution
        self._last_words = b""
        self._ending: Ending | None = None

    @classmethod
    async def begin(cls, supervision: Supervision, sandbox: str, order: dict[str, object]) -> "Operation":
        """Starts it. Raises SupervisorAbsent, TooManyExecs, ProgramNotStarted."""
        name = f"files.{order['op']}"
        command = Command(
            args=(name,),
            cwd="/",
            stdin=order["op"] in _WITH_INPUT,
            timeout_s=_TIMEOUT_S,
            max_output_bytes=_MOST_OUTPUT_BYTES,
        )
        return cls(sandbox, order, await supervision.start(sandbox, command, file=order))

    async def output(self) -> AsyncGenerator[bytes, None]:
        """What it writes to its standard output."""
        async with aclosing(self._execution.read()) as items:
            async for item in items:
                match item:
                    case Piece(stderr=False, data=data):
                        yield data
                    case Piece(data=data):
                        self._last_words = (self._last_words + data)[-_LONGEST_RESULT:]
                    case Gap():
                        raise SandboxLost(self._sandbox, "its output came too fast to be kept")
                    case Ending():
                        self._ending = item

    async def write(self, data: bytes) -> None:
        """Bytes for its standard input; held back while it does not read."""
        await self._execution.write(data)

    def close_input(self) -> None:
        """Closes its standard input."""
        self._execution.close_input()

    def cancel(self) -> None:
        """Kills it, if it still runs."""
        self._execution.stop(Stop.CANCELLED)

    async def result(self) -> Mapping[str, Any]:
        """What it says of itself.

        Raises FileNotFound, FileRefused, DiskFull, ArchiveRefused, or SandboxLost where it could not say anything.
        """
        ending = self._ending or await self._execution.ended()
        try:
            said = json.loads(self._last_words or b"null")
        except ValueError:
            said = None
        if ending.reason is Reason.EXITED and ending.exit_code == 0 and isinstance(said, dict):
            return said
        if not isinstance(said, dict) or "errno" not in said:
            raise SandboxLost(self._sandbox, ending.detail)
        raise self._failure(str(said["errno"]), str(said["path"]), str(said["detail"]))

    def _failure(self, errno: str, path: str, detail: str) -> Exception:
        match errno:
            case "ENOENT" | "ENOTDIR":
                return FileNotFound(path)
            case "ENOSPC" | "EDQUOT":
                return DiskFull(path)
            case "REFUSED" if self._order["op"] == "unpack":
                return ArchiveRefused(path, detail)
            case _:
                return FileRefused(path, errno, detail)
