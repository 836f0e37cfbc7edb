"""Blocking work carries its caller's context, and can be waited for when its caller is gone."""

import asyncio
import contextlib
import threading
from contextvars import ContextVar

from stockade_rpckit import threads

_word: ContextVar[str] = ContextVar("word")


async def test_the_callers_context_goes_along() -> None:
    _word.set("here")
    assert await threads.run(_word.get) == "here"


async def test_work_of_a_cancelled_task_is_waited_for() -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(5)
        ended.set()

    task = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not await threads.settle(0.05)
    release.set()
    assert await threads.settle(5)
    assert ended.is_set()
