"""Bytes between two sockets, both ways, with bounded buffers and half-closes passed on."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from .http_head import HeadRefused, refusal
from .reactor import READ, WRITE, Reactor

_READ_SIZE = 64 * 1024

Change = Callable[[bytes], bytes]
"""What happens to a client's bytes on their way out; may raise HeadRefused."""


class _Way:
    """One direction."""

    __slots__ = ("buffer", "change", "ended", "sink", "source")

    def __init__(self, source: socket.socket, sink: socket.socket, change: Change | None) -> None:
        self.source = source
        self.sink = sink
        self.change = change
        self.buffer = b""
        self.ended = False


class Relay:
    """A client and the gate. `close` is called once, when both ways have ended or one broke."""

    def __init__(
        self,
        client: socket.socket,
        gate: socket.socket,
        reactor: Reactor,
        on_close: Callable[[Relay], None],
        change: Change | None = None,
    ) -> None:
        self._reactor = reactor
        self._on_close = on_close
        self._closed = False
        self._ways = (_Way(client, gate, change), _Way(gate, client, None))
        self._watch()

    def close(self) -> None:
        """Lets go of both sockets."""
        if self._closed:
            return
        self._closed = True
        for way in self._ways:
            self._reactor.forget(way.source.fileno())
            way.source.close()
        self._on_close(self)

    def _watch(self) -> None:
        """Reads where the buffer is empty, writes where it is not."""
        out, back = self._ways
        for way, other in ((out, back), (back, out)):
            events = 0
            if not way.ended and not way.buffer:
                events |= READ
            if other.buffer:
                events |= WRITE
            fd = way.source.fileno()
            if events:
                self._reactor.watch(fd, events, lambda got, way=way, other=other: self._ready(got, way, other))  # type: ignore[misc]
            else:
                self._reactor.forget(fd)

    def _ready(self, events: int, way: _Way, other: _Way) -> None:
        try:
            if events & WRITE and other.buffer:
                self._write(other)
            if events & ~WRITE and not way.ended and not way.buffer:
                self._read(way)
        except HeadRefused as error:
            self._refuse(str(error))
            return
        except OSError:
            self.close()
            return
        if all(each.ended and not each.buffer for each in self._ways):
            self.close()
        else:
            self._watch()

    def _read(self, way: _Way) -> None:
        try:
            data = way.source.recv(_READ_SIZE)
        except BlockingIOError:
            return
        if data:
            way.buffer = way.change(data) if way.change else data
            self._write(way)
        else:
            way.ended = True
            way.sink.shutdown(socket.SHUT_WR)

    def _write(self, way: _Way) -> None:
        if not way.buffer:
            return
        try:
            sent = way.sink.send(way.buffer)
        except BlockingIOError:
            return
        way.buffer = way.buffer[sent:]

    def _refuse(self, why: str) -> None:
        client = self._ways[0].source
        with contextlib.suppress(OSError):
            client.send(refusal(why))
        self.close()
