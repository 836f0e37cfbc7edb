"""Time as a test turns it."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Stands still until `now` is set, in whatever unit that is."""

    now: float = 0

    def __call__(self) -> float:
        return self.now
