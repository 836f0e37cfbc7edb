"""What the signer of the fleet's head knows, in SQLite."""

from collections.abc import Collection
from pathlib import Path
from threading import Lock

from stockade_audit.fleet import FleetHead, Member
from stockade_audit.sqlite_schema import open_file

_VERSION = 1
_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS heads (sequence INTEGER PRIMARY KEY, note BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS members (origin TEXT PRIMARY KEY, leaf BLOB NOT NULL) WITHOUT ROWID;
"""


class SqliteLedger:
    """One connection under a lock: a head every few seconds and rare reads."""

    def __init__(self, path: Path) -> None:
        self._db = open_file(path, _SCHEMA, _VERSION, _PRAGMAS)
        self._lock = Lock()

    def last(self) -> FleetHead | None:
        with self._lock:
            row = self._db.execute("SELECT note FROM heads ORDER BY sequence DESC LIMIT 1").fetchone()
        return FleetHead.unverified(row[0]) if row else None

    def members(self) -> dict[str, Member]:
        with self._lock:
            rows = self._db.execute("SELECT origin, leaf FROM members ORDER BY origin").fetchall()
        return {origin: Member.parse(leaf) for origin, leaf in rows}

    def add(self, head: FleetHead, members: Collection[Member]) -> None:
        with self._lock, self._db as db:
            db.execute("INSERT INTO heads (sequence, note) VALUES (?, ?)", (head.sequence, head.note))
            rows = [(member.origin, member.leaf) for member in members]
            db.executemany("INSERT OR REPLACE INTO members (origin, leaf) VALUES (?, ?)", rows)

    def close(self) -> None:
        """Let go of the file, once nobody is at work in it."""
        with self._lock:
            self._db.close()
