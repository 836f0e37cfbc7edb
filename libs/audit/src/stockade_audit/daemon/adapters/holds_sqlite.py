"""Legal holds in SQLite."""

from pathlib import Path
from threading import Lock
from typing import Final

from stockade_audit.daemon.domain.errors import HoldNotFound
from stockade_audit.daemon.domain.hold import Hold
from stockade_audit.sqlite_schema import open_file

_VERSION: Final = 1
_PRAGMAS: Final = "PRAGMA synchronous = EXTRA; PRAGMA secure_delete = ON;"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS holds (
    id TEXT PRIMARY KEY, subject TEXT, start_ns INTEGER, end_ns INTEGER, justification TEXT, created_ns INTEGER,
    released_ns INTEGER
) WITHOUT ROWID;
"""
_COLUMNS: Final = "id, subject, start_ns, end_ns, justification, created_ns, released_ns"
_NAMES: Final = _COLUMNS.split(", ")


class SqliteHolds:
    """One connection under a lock; a rollback journal, so that what is renamed is in no second file."""

    def __init__(self, path: Path) -> None:
        self._db = open_file(path, _SCHEMA, _VERSION, _PRAGMAS)
        path.chmod(0o600)
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def add(self, hold: Hold) -> None:
        values = [getattr(hold, name) for name in _NAMES]
        with self._lock, self._db as db:
            db.execute(f"INSERT INTO holds VALUES ({','.join('?' * len(values))})", values)  # noqa: S608

    def get(self, identity: str) -> Hold:
        found = self._select("WHERE id = ?", identity)
        if not found:
            raise HoldNotFound(identity)
        return found[0]

    def all(self, released: bool = False) -> list[Hold]:
        return self._select("WHERE ? OR NOT released_ns ORDER BY created_ns, id", released)

    def release(self, identity: str, time_ns: int) -> Hold:
        with self._lock, self._db as db:
            db.execute("UPDATE holds SET released_ns = ? WHERE id = ? AND NOT released_ns", (time_ns, identity))
        return self.get(identity)

    def rename(self, subject: str, pseudonym: str) -> None:
        with self._lock, self._db as db:
            db.execute("UPDATE holds SET subject = ? WHERE subject = ? AND released_ns", (pseudonym, subject))

    def _select(self, clause: str, *values: str | bool) -> list[Hold]:
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM holds {clause}", values).fetchall()  # noqa: S608
        return [Hold(**dict(zip(_NAMES, row, strict=True))) for row in rows]
