"""The supervisor's end of the line: it dials `control.sock` for ever and speaks frames while it is connected."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Callable

from . import frames
from .reactor import READ, WRITE, Reactor

_HIGH = 512 * 1024
"""Bytes waiting to be sent above which execs stop reading their programs' output."""

_MOST_DESCRIPTORS = 8
"""Open files that come with one frame."""

_READ_SIZE = 32 * 1024
"""Less than what an allocator maps and unmaps each time."""

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.005, 1.0
_PAUSE_ASKED_FOR_S = 0.01
"""Between attempts when the host wanted the line to be let go of: it wants it back soon, and a restored one at once."""


class Line:
    """Connected or dialling. What is sent while it is not connected is dropped: `on_connect` says it all again."""

    def __init__(self, path: str, reactor: Reactor) -> None:
        self._path = path
        self._reactor = reactor
        self._socket: socket.socket | None = None
        self._out: deque[bytes] = deque()
        self._out_size = 0
        self._was_congested = False
        self._handed: deque[int] = deque()
        self._decoder = frames.Decoder(frames.HOST_LIMIT)
        self._pause_s, self._last_pause_s = _FIRST_PAUSE_S, _LAST_PAUSE_S
        self.on_connect: Callable[[], None] = lambda: None
        self.on_frame: Callable[[int, int, bytes], None] = lambda _kind, _number, _payload: None
        self.on_uncongested: Callable[[], None] = lambda: None

    def dial(self) -> None:
        """Connects, or tries again later; pauses grow to a second."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        link.setblocking(False)
        try:
            link.connect(self._path)
        except OSError:
            link.close()
            self._reactor.later(self._pause_s, self.dial)
            self._pause_s = min(self._pause_s * 2, self._last_pause_s)
            return
        self._socket = link
        self._decoder = frames.Decoder(frames.HOST_LIMIT)
        self._reactor.watch(link.fileno(), READ, self._on_events)
        self.on_connect()

    def send(self, kind: int, number: int, payload: bytes) -> None:
        """Sends one frame, or queues it."""
        if self._socket is None:
            return
        frame = frames.encode(kind, number, payload)
        if not self._out:
            frame = frame[self._write(frame) :]
        if frame and self._socket is not None:
            self._out.append(frame)
            self._out_size += len(frame)
            self._reactor.watch(self._socket.fileno(), READ | WRITE, self._on_events)

    def send_json(self, kind: int, number: int, message: dict[str, object]) -> None:
        """Sends one frame with a JSON payload."""
        header = frames.encode_json(kind, number, message)
        self.send(kind, number, header[frames.HEADER.size :])

    def descriptors(self, count: int) -> list[int]:
        """The next open files that the host has handed over, the caller's to close. Raises FrameError."""
        if not 0 <= count <= len(self._handed):
            raise frames.FrameError("a frame without its open files")
        return [self._handed.popleft() for _ in range(count)]

    def hang_up(self) -> None:
        """Lets go of the line, as the host wants, and dials again."""
        self._last_pause_s = _PAUSE_ASKED_FOR_S
        self._hang_up()

    def congested(self) -> bool:
        """Whether so much waits to be sent that nothing more should be read from programs."""
        self._was_congested = self._was_congested or self._out_size > _HIGH
        return self._out_size > _HIGH

    def _write(self, data: bytes) -> int:
        """How much of `data` went out; all of it when the line just broke, since it is dropped then."""
        assert self._socket is not None
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._reactor.later(0, self._hang_up)
            return len(data)

    def _on_events(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE:
            self._receive()

    def _flush(self) -> None:
        while self._out:
            frame = self._out[0]
            sent = self._write(frame)
            self._out_size -= sent
            if sent < len(frame):
                self._out[0] = frame[sent:]
                break
            self._out.popleft()
        if not self._out and self._socket is not None:
            self._reactor.watch(self._socket.fileno(), READ, self._on_events)
        if self._was_congested and self._out_size <= _HIGH // 2:
            self._was_congested = False
            self.on_uncongested()

    def _receive(self) -> None:
        if self._socket is None:
            return
        try:
            data, ancillary, _flags, _sender = self._socket.recvmsg(
                _READ_SIZE, socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        for _level, _kind, packed in ancillary:  # SCM_RIGHTS is the only kind there is here
            self._handed += struct.unpack(f"{len(packed) // 4}i", packed)
        if not data:
            self._hang_up()
            return
        self._pause_s, self._last_pause_s = _FIRST_PAUSE_S, _LAST_PAUSE_S
        try:
            for kind, number, payload in self._decoder.feed(data):
                self.on_frame(kind, number, payload)
        except frames.FrameError as error:
            os.write(2, f"the host broke the protocol: {error}\n".encode())
            self._hang_up()

    def _hang_up(self) -> None:
        """Lets go of a broken line and dials again."""
        if self._socket is None:
            return
        self._reactor.forget(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._out.clear()
        self._out_size = 0
        while self._handed:
            os.close(self._handed.popleft())
        self._reactor.later(self._pause_s, self.dial)
        self.on_uncongested()
