"""What is held in memory of a store that others change, kept as new as the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from stockade_rpckit.logs import get_logger

log = get_logger(__name__)

POLL_SECONDS = 0.25  # how often we look, whether somebody rang or not
AWAY_SECONDS = 3.0


class Bell:
    """Wakes whoever waits, when somebody changed something."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Until it rings, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()


class Follower:
    """Calls `refresh` for ever. A store that does not answer leaves in force what was, and is said to be away."""

    def __init__(self, what: str, refresh: Callable[[], Awaitable[None]], bell: Bell) -> None:
        self._what = what
        self._refresh = refresh
        self._bell = bell
        self._answered = time.monotonic()
        self._failing = False

    @property
    def age_s(self) -> float:
        """Seconds since the store last said what holds."""
        return time.monotonic() - self._answered

    @property
    def degraded(self) -> bool:
        """Whether what is held may be older than what the store has."""
        return self.age_s > AWAY_SECONDS

    async def run(self) -> None:
        """Follow the store."""
        while True:
            await self._bell.wait(POLL_SECONDS)
            try:
                await self._refresh()
            except Exception as error:
                self._log_once(error)
                continue
            self._answered = time.monotonic()
            if self._failing:
                self._failing = False
                log.info("the store answers again", extra={"store": self._what})

    def _log_once(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.error(
                "the store does not answer: what it said last stays in force",
                extra={"store": self._what, "error": str(error)},
                exc_info=error,
            )
