"""Blocking work beside the event loop: one bounded pool that carries the caller's context.

A bare `run_in_executor` loses contextvars, and with them the trace, the identity and the audit record. Cancelling the
awaiting task does not stop the function: it runs to its end and its result is dropped.
"""

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_POOL = ThreadPoolExecutor(max_workers=32, thread_name_prefix="stockade-blocking")


async def run(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run `function` on the pool within the caller's context and return its result."""
    context = contextvars.copy_context()
    call = functools.partial(context.run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_POOL, call)
