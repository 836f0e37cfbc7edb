"""How many names, of those that its policy does not spell out, one agent may have looked up.

A name is a message to whoever answers for the domain: below `*.example.com` an agent could write there as fast as it
may ask. And the gate's cache of names is one for all sandboxes. So a minute's names are bounded; the same name again
costs nothing, nor do names that stand in the policy.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stockade_network_policy.domain.limits import Refusal

PER_MINUTE = 120
_SPAN_S = 60.0
_AGENTS_KEPT = 4096


class NameBudget:
    """In any minute at most `per_minute` names of one agent begin to count, each for a minute; 0 is no bound.

    Belongs to one event loop.
    """

    def __init__(self, per_minute: int = PER_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._asked: dict[str, dict[str, float]] = {}  # by agent: names, oldest first, and since when each counts

    def take(self, agent: str, name: str) -> Refusal | None:
        """Counts a name; the refusal says when there is room for another."""
        if not self._per_minute:
            return None
        asked = self._counted(agent)
        if name in asked:
            return None
        now = self._clock()
        if len(asked) >= self._per_minute:
            return Refusal("names_per_minute", int((next(iter(asked.values())) + _SPAN_S - now) * 1e6))
        asked[name] = now
        return None

    def _counted(self, agent: str) -> dict[str, float]:
        """The agent's names that still count."""
        if len(self._asked) > _AGENTS_KEPT:
            self._asked = {agent: left for agent, names in self._asked.items() if (left := self._younger(names))}
        asked = self._asked[agent] = self._younger(self._asked.get(agent, {}))
        return asked

    def _younger(self, names: dict[str, float]) -> dict[str, float]:
        since = self._clock() - _SPAN_S
        for name, counted_at in list(names.items()):
            if counted_at > since:
                break
            del names[name]
        return names
