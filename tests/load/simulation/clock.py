"""Time that passes when nothing is left to do in it."""

import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Work = Callable[[], None]


class Clock:
    """Seconds, and what is to be done when."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self._queue: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()

    def __call__(self) -> float:
        return self.now

    def us(self) -> int:
        """The same in microseconds."""
        return round(self.now * 1e6)

    def after(self, seconds: float, work: Work) -> None:
        """Have it done in so many seconds; what falls on one moment is done in the order in which it was asked for."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._numbers), work))

    def run(self, until: Callable[[], bool]) -> None:
        """Let time pass until that holds."""
        while self._queue and not until():
            self.now, _, work = heapq.heappop(self._queue)
            work()

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, work = heapq.heappop(self._queue)
            work()
        self.now = end


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing: what runs on memory does not, and needs no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("it waits for something that no simulated clock knows of")
