"""The frames on `control.sock`, the same for both ends.

A frame is a header of nine bytes, network byte order, and its payload::

    u32 length of the payload | u8 kind | u32 exec number (0: the line itself)

Payloads are JSON objects in UTF-8 unless the kind says bytes. The exec number is chosen by the host and is never used
twice while the supervisor lives. docs/exec.md draws the conversation.
"""

from __future__ import annotations

import json
import struct

HEADER = struct.Struct("!IBI")
OFFSET = struct.Struct("!Q")

VERSION = 1
"""Said in HELLO; the host refuses another."""

CHUNK = 64 * 1024
"""The most bytes of output or input in one frame."""

WINDOW = 128 * 1024
"""The most bytes of one exec's output on the way before an ACK, and what the supervisor holds to repeat."""

STDIN_WINDOW = 256 * 1024
"""The most bytes of one exec's input on the way before a TAKEN."""

HOST_LIMIT = 8 * 1024 * 1024
"""The largest payload that the supervisor takes from the host: a START with its arguments and environment."""

SUPERVISOR_LIMIT = CHUNK + OFFSET.size
"""The largest payload that the host takes from a supervisor."""

# Host to supervisor.
CONFIGURE = 1  # {"doors": bool}; answered by CONFIGURED
START = 2  # {"args", "env", "cwd", "stdin", "terminal", "limits", "note", "subreaper"} and "go" or "hold"; see below
GO = 3  # bytes: a traceparent or nothing; the waiting child may start; answered by STARTED or FAILED
STDIN = 4  # bytes
CLOSE_STDIN = 5  # empty
SIGNAL = 6  # {"signal", "group"}
RESIZE = 7  # {"rows", "columns"}
ACK = 8  # bytes: u64, the offset up to which output has been taken
RELEASE = 9  # empty: an ended exec may be forgotten
PING = 10  # bytes, repeated in PONG
KILL = 11  # empty: kill the tree, for tiers in which the host has no cgroup to do so
QUIESCE = 13  # empty: close every connection to the host, this one too, and dial anew
SECRET = 14  # {"secret"}: what proves the supervisor from now on; answered by RENEWED
PREPARE = 12  # {"entrances", "terminal"} and so many open files: fork a child that enters its cgroup by them, for an
# exec that will be asked for; answered by FORKED once it has, or FAILED

# START is answered by FORKED or FAILED, and the child waits for GO. For a child that was prepared it has "go", the
# payload of GO to be obeyed at once, or "hold": true, to wait for GO; no FORKED follows then, and FAILED with the step
# "prepared" where that child has gone.

# Supervisor to host.
HELLO = 64  # {"version", "pid", "started_ns", "kept", "prepares", "secret"}; followed by that many KEPT
KEPT = 65  # {"note", "pid", "first", "end", "running", …}: an exec from before the line was made
CONFIGURED = 66  # {"doors": bool}
FORKED = 67  # {"pid"}: the child waits for GO
STARTED = 68  # {"fork_ns", "exec_ns"}
FAILED = 69  # {"errno", "step"}: no program was started
STDOUT = 70  # bytes: u64 offset, data
STDERR = 71  # bytes: u64 offset, data
TAKEN = 72  # {"bytes"}: so much more input has been passed on
EXITED = 73  # {"status", "end", "exit_ns", …}: the main process ended, and all its output went before
PONG = 74  # bytes
KILLED = 75  # {"left"}: so many processes of the exec could not be killed
RENEWED = 76  # {}

EMPTY = b""


class FrameError(Exception):
    """The peer broke the protocol."""


def encode(kind: int, number: int, payload: bytes) -> bytes:
    """One frame."""
    return HEADER.pack(len(payload), kind, number) + payload


def encode_json(kind: int, number: int, message: dict[str, object]) -> bytes:
    """One frame with a JSON payload."""
    return encode(kind, number, json.dumps(message, separators=(",", ":")).encode())


def decode_json(payload: bytes) -> dict[str, object]:
    """The object in a JSON payload. Raises FrameError for anything else, deep nesting included."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise FrameError("a payload is not JSON") from error
    if not isinstance(message, dict):
        raise FrameError("a payload is not a JSON object")
    return message


def count(message: dict[str, object], name: str, default: int | None = None) -> int:
    """A member that counts something. Raises FrameError for anything else."""
    value = message.get(name, default)
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise FrameError(f"{name} is no count")
    return value


class Decoder:
    """Takes bytes as they come and gives whole frames. Holds at most one frame of `limit` bytes and one read more."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The frames (kind, exec number, payload) that are complete now. Raises FrameError for an oversized one."""
        buffer = self._buffer
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= HEADER.size:
            length, kind, number = HEADER.unpack_from(buffer, start)
            if length > self._limit:
                raise FrameError(f"a frame of {length} bytes, more than {self._limit}")
            end = start + HEADER.size + length
            if len(buffer) < end:
                break
            frames.append((kind, number, bytes(buffer[start + HEADER.size : end])))
            start = end
        del buffer[:start]
        return frames
