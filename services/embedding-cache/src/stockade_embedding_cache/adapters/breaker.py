"""A breaker round a backend: after a failure nobody waits for it until one call in a while finds it back."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from stockade_rpckit.logs import get_logger

from stockade_embedding_cache.domain.ports import StoreUnavailable

log = get_logger(__name__)

T = TypeVar("T")

PROBE_S = 0.25


class Breaker:
    """Lets calls through, or refuses them at once while the backend is away. For use from many threads.

    Args:
        backend: its name, for errors and the log.
        failures: the exceptions that mean "away"; others are the caller's own.
        probe_s: how often one call is let through to see whether it is back.
    """

    def __init__(self, backend: str, failures: tuple[type[Exception], ...], probe_s: float = PROBE_S) -> None:
        self._backend, self._failures, self._probe_s = backend, failures, probe_s
        self._lock = threading.Lock()
        self._probe_at = 0.0
        self.since: float | None = None
        """When the backend went away, seconds since 1970; None while it is there."""

    def call(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises StoreUnavailable when the backend is away, or goes away now."""
        self._admit()
        try:
            result = work()
        except self._failures as error:
            self._open(error)
            raise StoreUnavailable(self._backend) from error
        self._close()
        return result

    def _admit(self) -> None:
        if self.since is None:
            return
        with self._lock:
            if self.since is not None and time.monotonic() < self._probe_at:
                raise StoreUnavailable(self._backend)
            self._probe_at = time.monotonic() + self._probe_s

    def _open(self, error: Exception) -> None:
        with self._lock:
            self._probe_at = time.monotonic() + self._probe_s
            if self.since is not None:
                return
            self.since = time.time()
        log.warning("backend lost", extra={"backend": self._backend, "error": str(error)})

    def _close(self) -> None:
        if self.since is None:
            return
        with self._lock:
            if self.since is None:
                return
            away_s, self.since = round(time.time() - self.since, 3), None
        log.warning("backend back", extra={"backend": self._backend, "away_s": away_s})
