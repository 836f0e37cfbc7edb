"""An event loop on a thread of its own, beside tests that block."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


@contextmanager
def running_loop(
    entered: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs as long as the block; its thread enters `entered` first."""
    loop = asyncio.new_event_loop()

    def run() -> None:
        with entered():
            loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
