"""Tells services how far the copy beyond this machine has their journals, for appends that wait for it.

A service connects to `run_dir/services/copied.sock`, says the name of its slot in one line, and then an empty line
whenever it has written something. It is sent how many entries of its journal the copy has, a number a line.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from stockade_rpckit import identity
from stockade_rpckit.identity import Principal, PrincipalKind
from stockade_rpckit.journals import COPIED_SOCKET
from stockade_rpckit.listeners import Listener

BACKLOG: Final = 1 << 16  # bytes that a listener may leave unread


class Copies:
    """Everyone who listens. Used from one event loop; `came` is set when a service says that it has written."""

    def __init__(self, came: asyncio.Event) -> None:
        self._came = came
        self._sizes: dict[str, int] = {}
        self._listening: defaultdict[str, set[asyncio.StreamWriter]] = defaultdict(set)

    def tell(self, sizes: Mapping[str, int]) -> None:
        """How many entries of each journal the copy has by now."""
        for slot, size in sizes.items():
            if self._sizes.get(slot) != size:
                self._sizes[slot] = size
                for writer in list(self._listening[slot]):
                    self._send(writer, size)

    async def serve(self, run_dir: Path) -> None:
        """Take connections until cancelled. Where there are no services' directory, there is nothing to do."""
        listener = Listener(run_dir / COPIED_SOCKET, identity.always(Principal(PrincipalKind.SERVICE, "journal")))
        if not listener.path.parent.is_dir():
            await asyncio.Event().wait()
        listener.claim()
        server = await asyncio.start_unix_server(self._serve_one, listener.path, limit=128)
        listener.open_to_directory()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            listener.path.unlink(missing_ok=True)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slot = ""
        with suppress(OSError, ValueError, asyncio.LimitOverrunError):
            slot = (await reader.readline()).decode().strip()
            self._listening[slot].add(writer)
            self._send(writer, self._sizes.get(slot, 0))
            while await reader.readline():
                self._came.set()
        self._listening[slot].discard(writer)
        writer.close()

    def _send(self, writer: asyncio.StreamWriter, size: int) -> None:
        if writer.transport.get_write_buffer_size() > BACKLOG:
            writer.transport.abort()  # it connects again and is told where the copy is
        else:
            writer.write(b"%d\n" % size)
