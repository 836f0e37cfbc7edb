"""So many calls a second from each sandbox; what is beyond that waits for its turn.

What a call writes to the record stays there, whatever the call came to: an agent that asks for nothing but refusals
would fill the disk and keep the service from everyone else. Held back, it harms itself alone.
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
        """Returns when the sandbox may go on."""
        now = time.monotonic()
        if len(self._due) > _KEPT:
            self._due = {name: due for name, due in self._due.items() if due > now}
        due = max(self._due.get(sandbox, now), now)
        self._due[sandbox] = due + self._step_s
        if (wait_s := due - self._tolerance_s - now) > 0:
            await asyncio.sleep(wait_s)
