"""When a supervisor was last heard, and how long it takes to answer."""

import asyncio
import time

from stockade_sandbox.supervisor import frames


class Pulse:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked_at: float | None = None
        self.heard_at = 0.0
        """Seconds since the epoch; 0: never."""
        self.round_trip_s = 0.0
        """How long the last answer took."""

    @property
    def awaited(self) -> bool:
        """Whether an answer is owed."""
        return self._asked_at is not None

    @property
    def silent_s(self) -> float:
        """For how long it is owed."""
        return 0.0 if self._asked_at is None else self._loop.time() - self._asked_at

    def heard(self) -> None:
        """It spoke."""
        self.heard_at = time.time()

    def asked(self) -> None:
        """It owes an answer, from now on."""
        self._asked_at = self._loop.time()

    def answered(self) -> None:
        """It answered. Raises FrameError where nobody asked."""
        if self._asked_at is None:
            raise frames.FrameError("PONG out of turn")
        self.round_trip_s, self._asked_at = self.silent_s, None

    def forget(self) -> None:
        """It owes nothing any more: the line broke."""
        self._asked_at = None
