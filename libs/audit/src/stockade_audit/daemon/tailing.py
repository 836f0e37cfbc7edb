"""Those who follow the record: each has a bounded queue, and one that reads too slowly is let go."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from stockade_audit.daemon.domain.errors import TailTooSlow
from stockade_audit.daemon.indexing import Arrived

QUEUE: Final = 64  # batches


class Tails:
    """Hands what arrives to every follower. Used from one event loop."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Arrived | None]] = set()

    def publish(self, arrived: Iterable[Arrived]) -> None:
        """Give it to all; whoever has no room gets an end instead."""
        for batch in arrived:
            for queue in list(self._queues):
                try:
                    queue.put_nowait(batch)
                except asyncio.QueueFull:
                    self._queues.discard(queue)
                    while not queue.empty():
                        queue.get_nowait()
                    queue.put_nowait(None)

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[AsyncIterator[Arrived]]:
        """What arrives from now on. The iterator raises TailTooSlow."""
        queue: asyncio.Queue[Arrived | None] = asyncio.Queue(QUEUE)
        self._queues.add(queue)
        try:
            yield _batches(queue)
        finally:
            self._queues.discard(queue)


async def _batches(queue: "asyncio.Queue[Arrived | None]") -> AsyncIterator[Arrived]:
    while (batch := await queue.get()) is not None:
        yield batch
    raise TailTooSlow("this reader is slower than the record grows: resume behind the last indexed_through it got")
