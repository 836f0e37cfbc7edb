"""How often the daemon looks at the journals: a busy one is no reason to look for every commit."""

import asyncio
import time

import pytest
from stockade_audit.daemon import background
from stockade_audit.daemon.background import MANY, REST_S, index_journals
from stockade_audit.daemon.findings import Findings
from stockade_audit.daemon.indexing import Arrived
from stockade_audit.daemon.tailing import Tails
from stockade_audit.entry import format_time
from stockade_audit.sealing import Opened


class Journals:
    """As an `Indexer` that finds so many new entries at each look."""

    def __init__(self, *found: int) -> None:
        self._found = iter(found)
        self.looks = 0
        self.lag_s = 0.0

    def poll(self) -> list[Arrived]:
        entry = Opened(b"", {"time": format_time(time.time_ns()), "action": "CALLED"})
        count = next(self._found)
        self.looks += 1
        return [Arrived("sandbox-0", [], [entry] * count)] if count else []

    def take_problems(self) -> list[tuple[str, str, str]]:
        return []


async def test_it_rests_between_looks_unless_it_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []

    async def rested(_came: asyncio.Event, seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(background, "wait_for", rested)
    journals, findings = Journals(1, MANY, MANY, 2, 0), Findings(None, None)  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        await index_journals(journals, Tails(), findings, asyncio.Event(), asyncio.Event())  # type: ignore[arg-type]
    assert rests == [REST_S] * 3
    assert journals.looks == 5
