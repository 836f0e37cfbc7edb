"""What the daemon needs of the parts it runs on. All blocking: called on the bounded pool, never on the loop."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from stockade_audit.daemon.domain.copy import Copied, CopiedEntry
from stockade_audit.daemon.domain.hold import Hold
from stockade_audit.daemon.domain.query import Cursor, Filter, Indexed, Rollups, Row, Stats, StatsQuery
from stockade_audit.daemon.domain.span import Span, TraceQuery, TraceSummary
from stockade_audit.head import Head
from stockade_audit.reader import Located
from stockade_audit.sealing import Opened


class Index(Protocol):
    """Finds entries. Made from the journals and can be made again; what it says of an entry is where it lies."""

    def indexed(self) -> list[Indexed]:
        """How far each journal is indexed, by slot."""
        ...

    def add(self, state: Indexed, located: Sequence[Located], entries: Sequence[Opened]) -> None:
        """Take entries in and go on to `state`, in one step; what was taken in before is not taken twice."""
        ...

    def forget(self, slot: str) -> None:
        """Drop all of one journal, to read it again."""
        ...

    def find(self, filter_: Filter, *, limit: int, newest_first: bool = True, after: Cursor | None = None) -> list[Row]:
        """At most `limit` entries by (time, slot, position), behind `after`."""
        ...

    def scan(self, filter_: Filter, slot: str, start: int, end: int) -> Iterator[Row]:
        """The entries of one journal from position `start` to before `end`, by position, in bounded memory."""
        ...

    def snapshot(self, slot: str) -> tuple[int, Rollups]:
        """How many entries of a journal are indexed, and the rollups over just these."""
        ...

    def contents(self, slot: str, end: int) -> Iterator[tuple[Any, ...]]:
        """(position, time_ns, *COLUMNS, *key numbers) of each entry before `end`, by position, in bounded memory."""
        ...

    def get(self, identity: str) -> Row | None:
        """The entry of this id."""
        ...

    def forget_keys(self, numbers: Collection[int]) -> int:
        """Take out of rows and rollups what these keys had opened, for good; returns how many rows had any of it."""
        ...

    def related(self, identity: str) -> list[Row]:
        """Entries whose intent_id is this id, by time; at most 100."""
        ...

    def stats(self, query: StatsQuery) -> Stats:
        """Counts from the minute rollups."""
        ...


class Heads(Protocol):
    """The heads that were signed here."""

    def last(self) -> Head | None:
        """The last one."""
        ...

    def add(self, head: Head) -> None:
        """Keep one, durably."""
        ...

    def mark_witnessed(self, sequence: int) -> None:
        """The witness keeps all up to this one."""
        ...

    def unwitnessed(self, limit: int) -> list[Head]:
        """Those the witness does not keep yet, oldest first."""
        ...

    def first_from(self, time_ns: int) -> Head | None:
        """The first witnessed one signed at that time or later."""
        ...

    def last_before(self, time_ns: int) -> Head | None:
        """The last one signed before that time."""
        ...

    def page(self, limit: int, before: int = 0) -> list[tuple[Head, bool]]:
        """Newest first, below sequence `before` (0: from the end), each with whether it is witnessed."""
        ...


class Copy(Protocol):
    """A second copy of the journals, beyond this machine: leaf for leaf, and only ever grown.

    Every method raises CopyUnavailable when it cannot be reached; what was asked may then have been done or not, and
    `copied` tells.
    """

    def copied(self) -> list[Copied]:
        """How much it has of each journal, by slot."""
        ...

    def add(self, slot: str, entries: Sequence[CopiedEntry], root: bytes) -> None:
        """Take entries in, durably and in one step. CopyRefused, and nothing taken, unless each has the hash of its
        leaf, the first continues what is there, and all of them lead to `root`."""
        ...

    def contents(self, slot: str) -> Iterator[CopiedEntry]:
        """What it has of a journal, by position, in bounded memory."""
        ...

    def close(self) -> None:
        """Let go of it; who waits for an answer in another thread gets CopyUnavailable."""
        ...


class Spans(Protocol):
    """Keeps spans for a while."""

    def add(self, spans: Sequence[Span]) -> None:
        """Keep them; a span that is kept already is replaced."""
        ...

    def traces(self, query: TraceQuery) -> list[TraceSummary]:
        """Newest first."""
        ...

    def trace(self, prefix: str) -> list[Span]:
        """The spans of the one trace whose id begins so, by start; TraceNotFound if there is none or several."""
        ...

    def forget(self, subjects: Collection[str]) -> int:
        """Drop the spans that carry one of these pseudonyms, for good; returns how many."""
        ...

    def prune(self, before_ns: int, keep: int) -> int:
        """Drop spans that started before, and the oldest beyond `keep`; returns how many."""
        ...


class Holds(Protocol):
    """Legal holds."""

    def add(self, hold: Hold) -> None:
        """Keep one, durably."""
        ...

    def get(self, identity: str) -> Hold:
        """One of them; HoldNotFound."""
        ...

    def all(self, released: bool = False) -> list[Hold]:
        """Those that hold, and the released ones too if wanted, by the time they were placed."""
        ...

    def release(self, identity: str, time_ns: int) -> Hold:
        """Let it hold no longer; one that was released stays as it was. HoldNotFound."""
        ...

    def rename(self, subject: str, pseudonym: str) -> None:
        """Let released holds of a subject name its pseudonym."""
        ...
