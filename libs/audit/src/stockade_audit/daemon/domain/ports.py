"""What the daemon needs of the parts it runs on. All blocking: called on the bounded pool, never on the loop."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from stockade_audit.daemon.domain.copy import Copied, CopiedEntry
from stockade_audit.daemon.domain.hold import Hold
from stockade_audit.daemon.domain.query import Cursor, Filter, Indexed, Rollups, Row, Stats, StatsQuery
from stockade_audit.daemon.domain.span import Span, TraceQuery, TraceSummary
from stockade_audit.fleet import FleetHead, Member
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


class Fleet(Protocol):
    """What all nodes have brought to one place: heads and copies; and, for whoever audits them, the fleet's own heads.

    Every method raises CopyUnavailable when it cannot be reached.
    """

    def witness_keys(self) -> dict[str, str]:
        """The key that each origin's heads are believed by."""
        ...

    def last_heads(self) -> dict[str, Head]:
        """The last head of each origin, its signature not looked at."""
        ...

    def heads(self, origin: str, first: int) -> Iterator[Head]:
        """The heads of an origin from this sequence on, oldest first."""
        ...

    def copied(self) -> dict[str, dict[str, int]]:
        """How many entries there are of each node's journals, by node and slot, as the copies say."""
        ...

    def nodes(self) -> set[str]:
        """Every node of which there is an entry."""
        ...

    def contents(self, node: str, slot: str) -> Iterator[CopiedEntry]:
        """What there is of a node's journal, by position, in bounded memory."""
        ...

    def publish(self, head: FleetHead, members: Collection[Member]) -> None:
        """Add a head of the fleet and put these members in their places, in one step. FleetDiffers where a head of
        this sequence is there already."""
        ...

    def published(self) -> tuple[bytes, dict[str, bytes]]:
        """The note of the fleet's last head (empty: none), and each member's leaf by origin, as of one moment."""
        ...

    def history(self) -> Iterator[FleetHead]:
        """Every head of the fleet, oldest first, signatures not looked at."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Ledger(Protocol):
    """What the signer of the fleet's head knows itself, whatever the shared database says."""

    def last(self) -> FleetHead | None:
        """The last head it signed."""
        ...

    def members(self) -> dict[str, Member]:
        """Every member, by origin."""
        ...

    def add(self, head: FleetHead, members: Collection[Member]) -> None:
        """Keep a head and put these members in their places, durably and in one step."""
        ...

    def close(self) -> None:
        """Let go of it."""
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
