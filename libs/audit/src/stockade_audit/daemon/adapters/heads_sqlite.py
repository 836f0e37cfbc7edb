"""The daemon's own heads, in SQLite."""

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from stockade_audit.head import Head
from stockade_audit.sqlite_schema import open_file

_VERSION = 1
_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS heads (
    sequence INTEGER PRIMARY KEY, note BLOB NOT NULL, witnessed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS heads_unwitnessed ON heads (sequence) WHERE NOT witnessed;
"""


class SqliteHeads:
    """One connection under a lock: one head a second and rare reads."""

    def __init__(self, path: Path) -> None:
        self._db = open_file(path, _SCHEMA, _VERSION, _PRAGMAS)
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the file, once nobody is at work in it: SQLite is not safe against a close in mid-statement."""
        with self._lock:
            self._db.close()

    def last(self) -> Head | None:
        found = self._read("SELECT note FROM heads ORDER BY sequence DESC LIMIT 1")
        return found[0] if found else None

    def add(self, head: Head) -> None:
        with self._lock, self._db as db:
            db.execute("INSERT INTO heads (sequence, note) VALUES (?, ?)", (head.sequence, head.note))

    def mark_witnessed(self, sequence: int) -> None:
        with self._lock, self._db as db:
            db.execute("UPDATE heads SET witnessed = 1 WHERE NOT witnessed AND sequence <= ?", (sequence,))

    def unwitnessed(self, limit: int) -> list[Head]:
        return self._read("SELECT note FROM heads WHERE NOT witnessed ORDER BY sequence LIMIT ?", limit)

    def page(self, limit: int, before: int = 0) -> list[tuple[Head, bool]]:
        with self._lock:
            rows = self._db.execute(
                "SELECT note, witnessed FROM heads WHERE sequence < ? ORDER BY sequence DESC LIMIT ?",
                (before or 1 << 62, limit),
            ).fetchall()
        return [(Head.unverified(note), bool(witnessed)) for note, witnessed in rows]

    def first_from(self, time_ns: int) -> Head | None:
        found = self._read(
            "SELECT note FROM heads WHERE witnessed AND sequence >= (SELECT sequence FROM heads ORDER BY sequence"
            " LIMIT 1 OFFSET ?) ORDER BY sequence LIMIT 1",
            self._count_before(time_ns),
        )
        return found[0] if found else None

    def last_before(self, time_ns: int) -> Head | None:
        before = self._count_before(time_ns)
        return self._nth(before - 1) if before else None

    def _count_before(self, time_ns: int) -> int:
        """How many heads are older than that; heads are in the order of their times, so it is searched for."""
        with self._lock:
            (count,) = self._db.execute("SELECT COUNT(*) FROM heads").fetchone()
        return bisect_left(range(count), time_ns, key=lambda n: self._nth(n).time_ns)

    def _nth(self, n: int) -> Head:
        return self._read("SELECT note FROM heads ORDER BY sequence LIMIT 1 OFFSET ?", n)[0]

    def _read(self, query: str, *values: int) -> list[Head]:
        with self._lock:
            rows: Iterable[tuple[bytes]] = self._db.execute(query, values).fetchall()
        return [Head.unverified(note) for (note,) in rows]
