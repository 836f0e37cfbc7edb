"""Keys in one SQLite file that all services of a machine share, so that none depends on another's process.

A rollback journal and not a WAL: once a deletion is committed, no second file holds what was deleted, and a backup is a
copy of one file. It is truncated, which `FULL` makes durable; `secure_delete` overwrites freed pages. Make the
directory `root:<services' group>`, mode 2770 and never sticky: a journal that one service left must be another's to
roll back.
"""

import os
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from stockade_audit.keys import sync_directory
from stockade_audit.keystore import KEY_BYTES, KeptKey, KeyName, KeysUnavailable, SubjectKey
from stockade_audit.sqlite_schema import open_file

FILE: Final = "keys.sqlite"
_MODE: Final = 0o660
# SQLite's waiting is not fair: beside others who begin many keys on a slow disk, one goes hungry for seconds.
_PATIENCE_S: Final = 15
_PRAGMAS: Final = "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS keys (
    number INTEGER PRIMARY KEY, subject TEXT, class TEXT, month TEXT, secret BLOB, UNIQUE (subject, class, month)
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holders (slot TEXT PRIMARY KEY, generation INTEGER) WITHOUT ROWID;
INSERT OR IGNORE INTO facts VALUES ('generation', 0);
"""


class SqliteKeyStore:
    """One connection under a lock; a file that was put in the place of the opened one is opened anew."""

    def __init__(self, directory: Path) -> None:
        """Open the store in `directory`, or begin it. Raises KeysUnavailable."""
        self._path = directory / FILE
        self._lock = Lock()
        with _translated(self._path):
            _make(directory, self._path)
            self._db, self._file = self._open()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def obtain(self, names: Iterable[KeyName]) -> dict[KeyName, SubjectKey]:
        wanted = list(names)
        with self._using() as db:
            found = _select(db, wanted)
            made = {n: SubjectKey(secrets.randbits(63), os.urandom(KEY_BYTES)) for n in wanted if n not in found}
            if made and _insert(db, made) < len(made):  # another process came first
                made = _select(db, list(made))
        return found | made

    def find(self, numbers: Collection[int]) -> dict[int, bytes]:
        with self._using() as db:
            query = "SELECT number, secret FROM keys WHERE number = ?"
            return dict(row for number in numbers for row in db.execute(query, (number,)))

    def kept(self, subject: str = "") -> Sequence[KeptKey]:
        query = "SELECT number, subject, class, month FROM keys WHERE ? IN ('', subject) ORDER BY subject, class, month"
        with self._using() as db:
            return [KeptKey(number, KeyName(*name)) for number, *name in db.execute(query, (subject,))]

    def subjects(self) -> Collection[str]:
        with self._using() as db:
            return [subject for (subject,) in db.execute("SELECT DISTINCT subject FROM keys")]

    def destroy(self, numbers: Collection[int]) -> int:
        with self._using() as db, db:
            count = db.executemany("DELETE FROM keys WHERE number = ?", [(n,) for n in numbers]).rowcount
            if count:
                db.execute("UPDATE facts SET value = value + 1 WHERE name = 'generation'")
        return max(0, count)

    def generation(self) -> int:
        with self._using() as db:
            return int(_fact(db, "generation"))

    def confirm(self, slot: str, generation: int) -> None:
        with self._using() as db, db:
            db.execute("INSERT OR REPLACE INTO holders VALUES (?, ?)", (slot, generation))

    def confirmed(self) -> Mapping[str, int]:
        with self._using() as db:
            return dict(db.execute("SELECT slot, generation FROM holders"))

    def pseudonym_key(self) -> bytes:
        with self._using() as db:
            return bytes(_fact(db, "pseudonym_key"))

    def _open(self) -> tuple[sqlite3.Connection, tuple[int, int]]:
        file = _identity(self._path)
        connection = open_file(self._path, _SCHEMA, _VERSION, _PRAGMAS, patience_s=_PATIENCE_S)
        with connection as db:
            db.execute("INSERT OR IGNORE INTO facts VALUES ('pseudonym_key', ?)", (os.urandom(KEY_BYTES),))
        return connection, file

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._path):
            if _identity(self._path) != self._file:
                before = self._db
                self._db, self._file = self._open()
                before.close()
            yield self._db


def _make(directory: Path, path: Path) -> None:
    try:
        directory.mkdir(parents=True)
        directory.chmod(0o2770)
    except FileExistsError:  # also when another process came between
        pass
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        return
    os.fchmod(fd, _MODE)
    os.close(fd)
    sync_directory(directory)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _select(db: sqlite3.Connection, names: Sequence[KeyName]) -> dict[KeyName, SubjectKey]:
    query = "SELECT number, secret FROM keys WHERE subject = ? AND class = ? AND month = ?"
    return {
        name: SubjectKey(*row)
        for name in names
        for row in db.execute(query, (name.subject, name.entry_class, name.month))
    }


def _insert(db: sqlite3.Connection, keys: Mapping[KeyName, SubjectKey]) -> int:
    rows = [(key.number, name.subject, name.entry_class, name.month, key.secret) for name, key in keys.items()]
    with db:
        return db.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?, ?, ?)", rows).rowcount


def _fact(db: sqlite3.Connection, name: str) -> int | bytes:
    value: int | bytes = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0]
    return value


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise KeysUnavailable(
            f"the key store {path} has gone: restore it from its backup, or restart the services to begin another"
        ) from error
    except (OSError, sqlite3.Error) as error:
        raise KeysUnavailable(f"the key store {path} cannot be used: {error}") from error
