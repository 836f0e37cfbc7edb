"""A command's streams and those of this terminal, joined; and the exit code that its ending means here."""

import asyncio
import base64
import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import asdict
from typing import IO, Any, TypeVar

from stockade.sandbox.v1 import exec_service_pb2
from stockade_agent.archive import CHUNK_BYTES
from stockade_agent.sandbox import AsyncSandbox, Ending

from stockade_cli.errors import Exit

R = TypeVar("R")

_EXITS = {"TIMEOUT": Exit.TIMEOUT, "CANCELLED": Exit.INTERRUPTED, "SANDBOX_LOST": Exit.NOT_RUN}
_PIECES_AHEAD = 4
_KILLED = 128 + signal.SIGKILL

Sink = Callable[[bytes], None]
"""Takes a piece of output."""


async def run_joined(
    sandbox: AsyncSandbox,
    command: exec_service_pb2.Command,
    out: Sink,
    err: Sink,
    inputs: AsyncIterator[exec_service_pb2.ExecInput] | None = None,
) -> Ending:
    """Run `command` with its output into the sinks, until it ends. What it is told is by default our stdin."""
    async with aclosing(sandbox.exec(command, inputs or stdin_inputs())) as events:
        async for event in events:
            match event.WhichOneof("event"):
                case "stdout":
                    out(event.stdout.data)
                case "stderr":
                    err(event.stderr.data)
                case "gap":
                    missing = event.gap.to_offset - event.gap.from_offset
                    err(f"stockade: {missing} bytes of output are missing here\n".encode())
                case "ended":
                    return Ending.of(event.ended)
    raise AssertionError("the contract ends every stream with `ended` or an error")


async def stdin_inputs() -> AsyncIterator[exec_service_pb2.ExecInput]:
    """What arrives on our stdin, then its end. Read on a thread: a file, a pipe and a terminal can all be read so."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(_PIECES_AHEAD)

    def read() -> None:
        with contextlib.suppress(OSError, RuntimeError):  # no stdin to read, or the command has ended and the loop too
            while piece := os.read(0, CHUNK_BYTES):
                room.acquire()
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(pieces.put_nowait, b"")

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while piece := await pieces.get():
        room.release()
        yield exec_service_pb2.ExecInput(stdin=piece)
    yield exec_service_pb2.ExecInput(close_stdin=True)


async def merged(*sources: AsyncIterator[R]) -> AsyncIterator[R]:
    """What all of `sources` yield, as it comes, until the first of them ends."""
    items: asyncio.Queue[R | None] = asyncio.Queue(maxsize=1)

    async def copy(source: AsyncIterator[R]) -> None:
        async for item in source:
            await items.put(item)
        await items.put(None)

    tasks = [asyncio.create_task(copy(source)) for source in sources]
    try:
        while (item := await items.get()) is not None:
            yield item
    finally:
        for task in tasks:
            task.cancel()


def sink(stream: IO[bytes]) -> Sink:
    """Writes through to one of our own streams."""

    def write(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    return write


def exit_code(ending: Ending) -> int:
    """The exit code that says how a command ended, as a shell would."""
    if ending.exit_code is not None:
        return ending.exit_code
    if ending.signal is not None and ending.reason == "SIGNALLED":
        return 128 + ending.signal
    return _EXITS.get(ending.reason, _KILLED)


def ending_document(ending: Ending, out: io.BytesIO, err: io.BytesIO) -> dict[str, Any]:
    """How a command ended and what it wrote, for programs."""
    return {
        "ending": {**asdict(ending), "cpu": ending.cpu.total_seconds(), "wall": ending.wall.total_seconds()},
        "exit_code": exit_code(ending),
        "stdout": _text(out.getvalue()),
        "stderr": _text(err.getvalue()),
    }


def _text(data: bytes) -> str | dict[str, str]:
    """Text as it is, anything else in base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def run_interruptible(work: Coroutine[Any, Any, R]) -> R:
    """Run `work`; Ctrl-C or SIGTERM cancels it once, after which it may still put things in order.

    Raises KeyboardInterrupt when it was cancelled.
    """

    async def main() -> R:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: task.cancelling() or task.cancel())
        try:
            return await task
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    return asyncio.run(main())


def stdout_bytes() -> IO[bytes]:
    return sys.stdout.buffer


def stderr_bytes() -> IO[bytes]:
    return sys.stderr.buffer
