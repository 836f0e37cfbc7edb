"""So many questions a second from each sandbox; what is beyond that waits for its turn.

A refusal costs no token of any limit and is recorded like every decision: an agent that asks for nothing but refusals
would fill the record and keep the judge from everyone else. Held back, it harms itself alone.
"""

import asyncio
import time

_KEPT = 4096


class Pace:
    """A bucket for each sandbox (GCRA, ITU-T I.371): `burst` at once, then `per_second`. Belongs to one event loop."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._step_s = 1 / per_second
        self._tolerance_s = burst / per_second
        self._due: dict[str, float] = {}

    async def turn(self, sandbox: str) -> None:
        """Returns when the sandbox may ask once more."""
        now = time.monotonic()
        if len(self._due) > _KEPT:
            self._due = {name: due for name, due in self._due.items() if due > now}
        due = max(self._due.get(sandbox, now), now)
        self._due[sandbox] = due + self._step_s
        if (wait_s := due - self._tolerance_s - now) > 0:
            await asyncio.sleep(wait_s)
