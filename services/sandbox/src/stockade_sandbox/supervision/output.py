"""What a program wrote: a bounded log with offsets that several readers follow at their own pace."""

from collections import deque
from dataclasses import dataclass

from stockade_sandbox.supervisor.frames import WINDOW

CAPACITY = 4 * WINDOW
"""The most bytes kept of one exec's output."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one stream. `offset` counts both streams in the order in which they came."""

    offset: int
    stderr: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that were written and are no longer kept: from `first` up to, not including, `end`."""

    first: int
    end: int


class Output:
    """The newest bytes of an exec's output; the oldest give way."""

    def __init__(self, first: int = 0) -> None:
        self._pieces: deque[Piece] = deque()
        self.first = first
        """The offset of the oldest byte kept."""
        self.end = first
        """The offset after the newest byte."""
        self.last_stderr = b""
        """The last words on standard error, at most 4 KiB."""

    def append(self, stderr: bool, data: bytes) -> None:
        """Takes the next bytes."""
        self._pieces.append(Piece(self.end, stderr, data))
        self.end += len(data)
        if stderr:
            self.last_stderr = (self.last_stderr + data)[-4096:]
        while self.end - self.first > CAPACITY:
            self.first += len(self._pieces.popleft().data)

    def after(self, offset: int) -> Piece | Gap | None:
        """The next thing at `offset`: a gap, a piece cut to start there, or None when all has been read."""
        if offset < self.first:
            return Gap(offset, self.first)
        for piece in self._pieces:
            skip = offset - piece.offset
            if skip < len(piece.data):
                return piece if skip <= 0 else Piece(offset, piece.stderr, piece.data[skip:])
        return None

    def drop(self) -> int:
        """Forgets what is kept; how many bytes that were."""
        freed = self.end - self.first
        self._pieces.clear()
        self.first = self.end
        return freed
