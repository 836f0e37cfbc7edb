"""What a program wrote: a bounded log with offsets that several readers follow at their own pace."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from operator import attrgetter

from stockade_sandbox.supervisor.frames import WINDOW

CAPACITY = 4 * WINDOW
"""The most bytes kept of one exec's output."""

MOST_PIECES = 16384
"""The most pieces kept: what a program writes byte by byte, to one stream and the other, costs more than its bytes."""

_JOINED = 4096
"""Up to so many bytes, what follows on the same stream joins the piece before it."""

_OFFSET = attrgetter("offset")


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
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.stderr == stderr and len(last.data) + len(data) <= _JOINED:
            self._pieces[-1] = Piece(last.offset, stderr, last.data + data)
        else:
            self._pieces.append(Piece(self.end, stderr, data))
        self.end += len(data)
        if stderr:
            self.last_stderr = (self.last_stderr + data)[-4096:]
        while self.end - self.first > CAPACITY or len(self._pieces) > MOST_PIECES:
            self.first += len(self._pieces.popleft().data)

    def after(self, offset: int) -> Piece | Gap | None:
        """The next thing at `offset`: a gap, a piece cut to start there, or None when all has been read."""
        if offset < self.first:
            return Gap(offset, self.first)
        if offset >= self.end:
            return None
        piece = self._pieces[bisect_right(self._pieces, offset, key=_OFFSET) - 1]
        return piece if offset == piece.offset else Piece(offset, piece.stderr, piece.data[offset - piece.offset :])

    def drop(self) -> int:
        """Forgets what is kept; how many bytes that were."""
        freed = self.end - self.first
        self._pieces.clear()
        self.first = self.end
        return freed
