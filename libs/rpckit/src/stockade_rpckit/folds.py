"""What comes in floods becomes one entry a second for each kind of it, with its count."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from stockade_audit import Entry, Journal, RecordUnavailable

from stockade_rpckit.logs import get_logger

log = get_logger(__name__)

FOLD_SECONDS = 1.0
_AT_ONCE = 1024  # entries that the journal takes together
_NOWHERE: Mapping[str, str] = {}

_Pairs = tuple[tuple[str, Any], ...]


class Folds:
    """Counts, and the journal that they go to: each count reaches it once, whatever happens on the way.

    An entry that was made is tried until it is known to be durable. Its id stays, and the journal writes an id once.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._counts: dict[tuple[_Pairs, _Pairs], list[int]] = {}
        self._unwritten: list[Entry] = []

    @property
    def kinds(self) -> int:
        """How many kinds have been counted since the last flush."""
        return len(self._counts)

    def add(self, fields: Mapping[str, Any], count: int = 1, origin: Mapping[str, str] = _NOWHERE) -> None:
        """Count what has these fields of `stockade_audit.Entry`, equal ones together; the next flush writes it.

        `origin` goes into the entry's metadata: where the counted came from.
        """
        held = self._counts.setdefault((tuple(fields.items()), tuple(origin.items())), [0, time.time_ns()])
        held[0] += count

    async def flush(self) -> None:
        """Write one entry for each kind counted since the last flush. One flush at a time.

        Raises RecordUnavailable; what could not be written then, a later flush writes.
        """
        await self._write()  # what an earlier flush could not
        counted, self._counts = self._counts, {}  # what is counted from here on waits for its second
        self._unwritten = [_entry(*kind, *held) for kind, held in counted.items()]
        await self._write()

    async def _write(self) -> None:
        while self._unwritten:
            batch = self._unwritten[:_AT_ONCE]
            await self._journal.append_many(batch)
            del self._unwritten[: len(batch)]

    async def run(self, before: Callable[[], Awaitable[None]] | None = None) -> None:
        """Flush each second, for ever; `before` adds what is only counted elsewhere."""
        while True:
            await asyncio.sleep(FOLD_SECONDS)
            try:
                if before is not None:
                    await before()
                await self.flush()
            except RecordUnavailable as error:
                log.warning("folded entries wait for the record", extra={"error": str(error)})

    async def close(self) -> None:
        """The last flush: what the record does not take now is lost, and the log says how much."""
        try:
            await self.flush()
        except RecordUnavailable as error:
            lost = len(self._unwritten) + len(self._counts)
            log.error("the last folded entries could not be written", extra={"entries": lost, "error": str(error)})


def _entry(fields: _Pairs, origin: _Pairs, count: int, since_ns: int) -> Entry:
    return Entry(**dict(fields), metadata={**dict(origin), "count": count, "since_ns": since_ns})
