"""Someone who dialled `control.sock` and has yet to prove that it is the supervisor."""

import asyncio
from collections.abc import Callable
from typing import cast

from stockade_sandbox.supervisor import frames

_SECONDS = 5.0
_LONGEST_HELLO = 1024

Proven = Callable[[asyncio.Transport, bytes], None]
"""Takes over the connection of a supervisor, with what it has said so far."""


class Candidate(asyncio.Protocol):
    """Waits for a HELLO with a good secret, five seconds at most; whatever else comes ends the connection."""

    def __init__(self, proves: Callable[[object], bool], proven: Proven) -> None:
        self._proves, self._proven = proves, proven
        self._transport: asyncio.Transport | None = None
        self._said = bytearray()
        self._deadline = asyncio.get_running_loop().call_later(_SECONDS, self.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._said += data
        try:
            hello = _hello(bytes(self._said))
        except frames.FrameError:
            self.close()
            return
        if hello is None:
            return
        if self._transport is None or not self._proves(hello.get("secret")):
            self.close()
            return
        self._deadline.cancel()
        self._proven(self._transport, bytes(self._said))

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()

    def holds(self, transport: asyncio.Transport | None) -> bool:
        """Whether that is its connection."""
        return transport is not None and transport is self._transport

    def close(self) -> None:
        """Hangs up."""
        self._deadline.cancel()
        if self._transport is not None:
            self._transport.abort()


def _hello(said: bytes) -> dict[str, object] | None:
    """What a first frame says, once it is whole. Raises FrameError where it is no HELLO."""
    if len(said) < frames.HEADER.size:
        return None
    length, kind, _number = frames.HEADER.unpack_from(said)
    if kind != frames.HELLO or length > _LONGEST_HELLO:
        raise frames.FrameError("the first frame is not HELLO")
    end = frames.HEADER.size + length
    return frames.decode_json(said[frames.HEADER.size : end]) if len(said) >= end else None
