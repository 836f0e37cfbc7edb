"""What comes in floods becomes one entry a second for each sandbox and reason, with its count."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stockade_audit import Action, Entry, Journal, RecordUnavailable
from stockade_rpckit.logs import get_logger

log = get_logger(__name__)

SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is counted together."""

    action: Action
    rule: str
    reason: str
    sandbox: str = ""
    agent: str = ""
    agent_type: str = ""
    status: int = 0


class Folds:
    """Counts, and the journal they go to."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._counts: dict[Kind, list[int]] = {}

    def add(self, kind: Kind, count: int = 1) -> None:
        """Count something; the next flush writes it."""
        held = self._counts.setdefault(kind, [0, time.time_ns()])
        held[0] += count

    async def flush(self) -> None:
        """Write one entry for each kind counted; what cannot be written is kept for the next flush."""
        counts, self._counts = self._counts, {}
        for kind, (count, since_ns) in counts.items():
            try:
                await self._journal.append(_entry(kind, count, since_ns))
            except RecordUnavailable:
                self.add(kind, count)

    async def run(self, before: Callable[[], Awaitable[None]]) -> None:
        """Flush each second, for ever; `before` adds what is only counted elsewhere."""
        while True:
            await asyncio.sleep(SECONDS)
            await before()
            await self.flush()


def _entry(kind: Kind, count: int, since_ns: int) -> Entry:
    return Entry(
        action=kind.action,
        sandbox=kind.sandbox,
        agent=kind.agent,
        agent_type=kind.agent_type,
        rule=kind.rule,
        reason=kind.reason,
        status=kind.status or "",
        metadata={"count": count, "since_ns": since_ns},
    )
