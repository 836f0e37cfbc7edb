"""A program run on this machine as it is, for a caller that opted in to that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta

from stockade_agent.errors import StockadeError
from stockade_agent.sandbox import Ending, Result

_INHERITED = ("HOME", "LANG", "PATH", "TMPDIR")
"""What of this process's environment the program sees: its secrets stay here."""


async def run_unsandboxed(
    args: tuple[str, ...],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: str = "",
    timeout: timedelta | float | None = None,  # noqa: ASYNC109 ends the program, and is no error
) -> Result:
    """Run a program to its end, in a new directory unless `cwd` names one; its whole group ends with it.

    Raises StockadeError, reason PROGRAM_NOT_STARTED.
    """
    with tempfile.TemporaryDirectory(prefix="stockade-") as workspace:
        began = time.monotonic()
        try:
            process = await asyncio.create_subprocess_exec(
                *args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(env or {}),
                cwd=cwd or workspace,
                start_new_session=True,
            )
        except OSError as error:
            raise StockadeError(f"{args[0]}: {error.strerror}", reason="PROGRAM_NOT_STARTED") from error
        stdout, stderr, in_time = await _communicate(process, stdin, timeout)
        wall = timedelta(seconds=time.monotonic() - began)
    return Result(stdout, stderr, _ending(process.returncode or 0, wall, in_time))


async def _communicate(
    process: asyncio.subprocess.Process,
    stdin: bytes,
    timeout: timedelta | float | None,  # noqa: ASYNC109
) -> tuple[bytes, bytes, bool]:
    """What it wrote, and whether it ended in time; the group is killed after that, whatever happens."""
    talk = asyncio.ensure_future(process.communicate(stdin))
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    try:
        done, _ = await asyncio.wait({talk}, timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    stdout, stderr = await talk
    return stdout, stderr, bool(done)


def _ending(code: int, wall: timedelta, in_time: bool) -> Ending:
    reason = "TIMEOUT" if not in_time else "SIGNALLED" if code < 0 else "EXITED"
    return Ending(
        reason=reason,
        exit_code=code if reason == "EXITED" else None,
        signal=-code if code < 0 else None,
        detail="",
        output_partial=not in_time,
        cpu=timedelta(),
        wall=wall,
        peak_memory_bytes=0,
    )
