"""How much agents may say of themselves: enough for a log, too little to fill the record."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

RATE: Final = 20.0  # claims a second of one agent
BURST: Final = 200.0
AGENTS: Final = 4096  # followed at a time


@dataclass(slots=True)
class Claims:
    """A token bucket for each agent; what it refuses is counted, to be written down once a second."""

    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _refused: Counter[str] = field(default_factory=Counter)

    def admit(self, agent: str, count: int, now_s: float) -> float:
        """0 when the agent may make so many claims now; else the seconds after which it may."""
        tokens, at = self._buckets.pop(agent, (BURST, now_s))
        tokens = min(BURST, tokens + (now_s - at) * RATE)
        wait = max(0.0, (min(count, BURST) - tokens) / RATE)
        if wait:
            self._refused[agent] += count
        else:
            tokens -= count
        if len(self._buckets) >= AGENTS:
            self._buckets.pop(
                next(iter(self._buckets))
            )  # the one that was silent longest: its bucket is full or nearly
        self._buckets[agent] = (tokens, now_s)
        return wait

    def take_refused(self) -> dict[str, int]:
        """Claims refused since the last time, by agent."""
        refused, self._refused = self._refused, Counter()
        return dict(refused)
