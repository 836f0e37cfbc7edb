"""Blocking work beside the event loop: one bounded pool that carries the caller's context.

A bare `run_in_executor` loses contextvars, and with them the trace, the identity and the audit record. Cancelling the
awaiting task does not stop the function: it runs to its end and its result is dropped.
"""

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

T = TypeVar("T")

_POOL = ThreadPoolExecutor(max_workers=32, thread_name_prefix="stockade-blocking")


_running: set[Future[Any]] = set()


async def run(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run `function` on the pool within the caller's context and return its result."""
    context = contextvars.copy_context()
    call = functools.partial(context.run, function, *args, **kwargs)
    future: Future[T] = _POOL.submit(call)
    _running.add(future)
    future.add_done_callback(_running.discard)
    return await asyncio.wrap_future(future)


def running() -> int:
    """How many functions run or wait for a thread."""
    return len(_running)


async def settle(timeout_s: float) -> bool:
    """Wait until no function runs any more, those of cancelled tasks included; False when that took too long.

    What they use (a database's connection) may be closed after this, and not before.
    """
    running = set(_running)
    _, left = await asyncio.to_thread(wait, running, timeout_s)
    return not left
