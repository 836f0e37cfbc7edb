"""The loop behind blocking code ends with what runs in it."""

import asyncio

from stockade_agent.client import Portal


def test_what_still_runs_is_cancelled_when_it_closes() -> None:
    portal, ended = Portal(), list[str]()

    async def watch() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def begin() -> "asyncio.Task[None]":
        return asyncio.create_task(watch())

    begun = portal.run(begin())
    portal.close()
    assert ended == ["cancelled"]
    assert begun.cancelled()
