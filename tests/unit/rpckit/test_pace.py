"""A sandbox that asks fast waits, and no other does."""

import asyncio
import time

from stockade_rpckit.pace import Pace


async def _seconds(pace: Pace, sandbox: str, times: int) -> float:
    began = time.monotonic()
    await asyncio.gather(*(pace.turn(sandbox) for _ in range(times)))
    return time.monotonic() - began


async def test_a_burst_passes_and_what_follows_waits() -> None:
    pace = Pace(per_second=100, burst=10)
    assert await _seconds(pace, "sb-a", 10) < 0.05
    assert await _seconds(pace, "sb-a", 20) > 0.15


async def test_one_that_floods_holds_back_itself_alone() -> None:
    pace = Pace(per_second=1, burst=1)
    flood = asyncio.create_task(_seconds(pace, "sb-a", 50))
    await asyncio.sleep(0)
    assert await _seconds(pace, "sb-b", 1) < 0.5
    assert not flood.done()
    flood.cancel()
