"""Appends that are done only when the copy beyond this machine has them too.

The daemon ships and says how far it has come (`daemon/replicated.py`); here what the writer has made durable is held
back until that covers it. While the daemon or the copy is away nothing is covered, and whoever waits longer than an
append may take is refused, as on a disk that hangs.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from stockade_audit.writer import Pending

RETRY_S: Final = 0.1

Settle = Callable[[list[Pending], str | None], None]


class Replication:
    """What one journal waits for. Used from one event loop, the journal's own."""

    def __init__(self, socket: Path, slot: str) -> None:
        self._socket, self._slot = socket, slot
        self._settle: Settle | None = None
        self._held: deque[tuple[int, list[Pending], str | None]] = deque()
        self._covered = 0
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    def hold(self, batch: list[Pending], failure: str | None) -> None:
        """Settle this batch once it is covered, and never before those before it."""
        end = max((p.positions[0] + len(p.entries) for p in batch if failure is None and p.positions), default=0)
        self._held.append((end, batch, failure))
        self._release()
        if self._held and self._writer is not None:
            self._writer.write(b"\n")

    def start(self, settle: Settle) -> None:
        """Begin to listen, once there is a loop; what is covered is given to `settle`."""
        self._settle = settle
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen())

    def stop(self) -> None:
        """Listen no longer; what is held is never settled."""
        if self._task is not None:
            self._task.cancel()

    def _release(self) -> None:
        while self._held and self._held[0][0] <= self._covered and self._settle is not None:
            _, batch, failure = self._held.popleft()
            self._settle(batch, failure)

    async def _listen(self) -> None:
        while True:
            with suppress(OSError, ValueError):
                reader, self._writer = await asyncio.open_unix_connection(self._socket)
                try:
                    self._writer.write(f"{self._slot}\n\n".encode())
                    while line := await reader.readline():
                        self._covered = int(line)
                        self._release()
                finally:
                    self._writer.close()
                    self._writer = None
            await asyncio.sleep(RETRY_S)
