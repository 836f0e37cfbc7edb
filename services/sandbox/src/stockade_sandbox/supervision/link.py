"""One connection to a supervisor. What it says is hostile input: bounded, checked, and fatal when malformed."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol, cast

from stockade_sandbox.supervisor import frames

_TICK_S = 0.02
_FRAMES_A_TICK = 800
_BYTES_A_TICK = 800 << 10
"""What one sandbox says beyond this waits for the next tick, so that its neighbours are served meanwhile."""


class Peer(Protocol):
    """Who hears what a link receives."""

    def received(self, kind: int, number: int, payload: bytes) -> None:
        """A frame came. Raises FrameError when it is out of turn."""

    def broken(self, violation: str) -> None:
        """The connection is gone; `violation` says how the supervisor broke the protocol, if it did."""


class Link(asyncio.Protocol):
    """Frames both ways over an accepted connection."""

    def __init__(self, peer: Peer, caller: socket.socket | None = None) -> None:
        """`caller`: the connection, where open files are to go over it."""
        self._peer = peer
        self._caller = caller
        self._decoder = frames.Decoder(frames.SUPERVISOR_LIMIT)
        self._transport: asyncio.Transport | None = None
        self._violation = ""
        self._frames = self._bytes = 0
        self._tick = 0.0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def take_over(self, transport: asyncio.Transport, said: bytes) -> None:
        """Speaks on a connection that another protocol had, on which `said` has come already."""
        transport.set_protocol(self)
        self.connection_made(transport)
        self.data_received(said)

    def data_received(self, data: bytes) -> None:
        if self._violation:
            return
        try:
            received = self._decoder.feed(data)
            for kind, number, payload in received:
                self._peer.received(kind, number, payload)
        except frames.FrameError as error:
            self._violation = str(error)
            self.close()
            return
        self._pace(len(received), len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.broken(self._violation)

    def send(self, kind: int, number: int = 0, payload: bytes = frames.EMPTY) -> None:
        """Sends a frame; nothing once the link is broken. What is sent is small or held to a window."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.encode(kind, number, payload))

    def send_json(self, kind: int, number: int, message: dict[str, object]) -> None:
        """Sends a frame with a JSON payload."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.encode_json(kind, number, message))

    async def hand_over(self, kind: int, number: int, message: dict[str, object], files: Sequence[int]) -> None:
        """Sends a frame with a JSON payload, and open files with it. Raises OSError once the link is broken."""
        frame = frames.encode_json(kind, number, message)
        while self._transport is not None and self._caller is not None and not self._transport.is_closing():
            if not self._transport.get_write_buffer_size():  # no other frame has gone out in part
                with suppress(BlockingIOError):
                    socket.send_fds(self._caller, [frame], files)  # small, so whole or not at all
                    return
            await asyncio.sleep(_TICK_S)
        raise BrokenPipeError("the supervisor is not on the line")

    def close(self) -> None:
        """Hangs up at once."""
        if self._transport is not None:
            self._transport.abort()

    def _pace(self, count: int, size: int) -> None:
        now = self._loop.time()
        if now - self._tick > _TICK_S:
            self._tick, self._frames, self._bytes = now, 0, 0
        self._frames += count
        self._bytes += size
        if self._transport is not None and (self._frames > _FRAMES_A_TICK or self._bytes > _BYTES_A_TICK):
            self._transport.pause_reading()
            self._loop.call_at(self._tick + _TICK_S, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
