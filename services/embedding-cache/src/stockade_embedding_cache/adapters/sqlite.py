"""A store in one SQLite file: WAL, one writer thread, a checksum for each row.

A killed process loses nothing that was acknowledged; after a power failure the last transactions may be missing
(`synchronous=NORMAL`), which a cache may. A second process on the same file is refused by a lock.
"""

import asyncio
import fcntl
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, Any, TypeVar

from stockade_embedding_cache.domain.entry import Batch, Entry, Quota, Size
from stockade_embedding_cache.domain.ports import Clock, Listed, Stored
from stockade_embedding_cache.domain.vector import Dtype, Format

T = TypeVar("T")

VACUUM_PAGES = 1000
READERS = 2
_CHUNK = 500  # keys in one statement

_COLUMNS = "key, dimensions, dtype, writer, created, expires, data, checksum"
_SELECT = """
    SELECT {columns} FROM vectors
    WHERE layer = (SELECT id FROM layers WHERE name = ?) AND expires > ? AND key IN ({marks})
"""
_UPSERT = """
    INSERT INTO vectors (layer, key, dimensions, dtype, writer, created, expires, data, checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (layer, key) DO UPDATE SET dimensions = excluded.dimensions, dtype = excluded.dtype,
        writer = excluded.writer, created = excluded.created, expires = excluded.expires,
        data = excluded.data, checksum = excluded.checksum
"""
_DELETE_OLDEST = """
    DELETE FROM vectors WHERE id IN (SELECT id FROM vectors WHERE layer = ? ORDER BY expires LIMIT ?)
"""
_LIST = """
    SELECT key, dimensions, dtype, writer, created, expires FROM vectors
    WHERE layer = (SELECT id FROM layers WHERE name = ?) AND key > ? AND expires > ? AND ? IN ('', writer)
    ORDER BY key LIMIT ?
"""


class StoreLocked(OSError):
    """Another process has the file open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is in use by another embedding-cache process: stop it, or set another state_dir")


class StoreDamaged(OSError):
    """The file is no database that this version reads."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(f"{path} is not a usable cache ({why}): move it away, the cache starts empty")


class SqliteStore:
    """Port `Store` on a file.

    Args:
        path: the database; its directory is made.
        quota: most that one layer may hold.
        total: most that all layers together may hold; the largest layer gives way.

    Raises:
        StoreLocked, StoreDamaged: when the file cannot be used.
    """

    name = "sqlite"
    degraded_since = None

    def __init__(self, path: Path, *, total: Quota, quota: Quota, clock: Clock = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self.total, self.quota, self._clock = path, total, quota, clock
        self._lock = _lock(path)
        self._local = threading.local()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="cache-writer", initializer=self._open)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cache-reader", initializer=self._open)
        try:
            self._connections = [_create(path)]
            self._epochs, self._epochs_changed = _epochs(self._connections[0]), False
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise StoreDamaged(path, error) from error

    async def get(self, layer: str, keys: Sequence[bytes]) -> Batch:
        try:
            batch, damaged = await self._read(self._get, layer, keys)
            if damaged:
                await self._write(self._remove, layer, damaged)
        except sqlite3.DatabaseError:  # a page that cannot be read: its rows are as good as lost
            return Batch([None] * len(keys), 0, len(keys))
        return batch

    async def has(self, layer: str, keys: Sequence[bytes]) -> list[bool]:
        return await self._read(self._has, layer, keys)

    async def put(self, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        return await self._write(self._put, layer, entries)

    async def delete(self, layer: str, keys: Sequence[bytes]) -> int:
        return await self._write(self._delete, layer, keys)

    async def clear(self, layer: str) -> int:
        return await self._write(self._clear, layer)

    async def clear_writer(self, writer: str, layer: str = "") -> dict[str, int]:
        return await self._write(self._clear_writer, writer, layer)

    async def epoch(self, layer: str) -> int:
        # No other process writes this file (StoreLocked), so what was committed last is known here.
        return self._epochs.get(layer, 0)

    async def page(self, layer: str, *, after: bytes = b"", limit: int, writer: str = "") -> Sequence[Listed]:
        def query(db: sqlite3.Connection) -> list[Listed]:
            rows = db.execute(_LIST, (layer, after, self._clock(), writer, limit))
            return [Listed(key, _format(d, t), who, born, ends) for key, d, t, who, born, ends in rows]

        return await self._read(query)

    async def size(self, layer: str) -> Size:
        def query(db: sqlite3.Connection) -> Size:
            ident, _ = self._layer(db, layer)
            self._prune_layer(db, ident)
            return _sizes(db).get(layer, Size())

        return await self._write(query)

    async def sizes(self) -> dict[str, Size]:
        return await self._read(_sizes)

    async def prune(self) -> Size:
        return await self._write(self._prune)

    async def close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        self._lock.close()

    # What follows runs on the threads that own the connections.

    def _open(self) -> None:
        self._local.db = _connect(self._path)
        self._connections.append(self._local.db)

    async def _read(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._within, work, *args)

    async def _write(self, work: Callable[..., T], *args: Any) -> T:
        """Run `work` in a transaction of the one writer; it is finished even if the caller is cancelled."""
        future = asyncio.get_running_loop().run_in_executor(self._writer, self._transact, work, *args)
        return await asyncio.shield(future)

    def _within(self, work: Callable[..., T], *args: Any) -> T:
        db: sqlite3.Connection = self._local.db
        db.execute("BEGIN")
        try:
            return work(db, *args)
        finally:
            db.execute("ROLLBACK")

    def _transact(self, work: Callable[..., T], *args: Any) -> T:
        db: sqlite3.Connection = self._local.db
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db, *args)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        if self._epochs_changed:
            self._epochs, self._epochs_changed = _epochs(db), False
        return result

    def _get(self, db: sqlite3.Connection, layer: str, keys: Sequence[bytes]) -> tuple[Batch, Sequence[bytes]]:
        row = db.execute("SELECT epoch FROM layers WHERE name = ?", (layer,)).fetchone()
        found: dict[bytes, Entry] = {}
        damaged: list[bytes] = []
        for *fields, checksum in self._select(db, _COLUMNS, layer, keys):
            key, dimensions, dtype, writer, created, expires, data = fields
            if _checksum(*fields) == checksum:
                found[key] = Entry(_format(dimensions, dtype), data, writer, created, expires)
            else:
                damaged.append(key)
        return Batch([found.get(key) for key in keys], row[0] if row else 0, len(damaged)), damaged

    def _select(
        self, db: sqlite3.Connection, columns: str, layer: str, keys: Sequence[bytes]
    ) -> Iterable[tuple[Any, ...]]:
        now = self._clock()
        for chunk in _chunks(keys):
            query = _SELECT.format(columns=columns, marks=_marks(chunk))
            yield from db.execute(query, (layer, now, *chunk))

    def _has(self, db: sqlite3.Connection, layer: str, keys: Sequence[bytes]) -> list[bool]:
        present = {row[0] for row in self._select(db, "key", layer, keys)}
        return [key in present for key in keys]

    def _put(self, db: sqlite3.Connection, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        ident, epoch = self._layer(db, layer)
        largest = min(self.quota.bytes, self.total.bytes)
        refused = frozenset(key for key, entry in entries.items() if len(entry.data) > largest)
        db.executemany(_UPSERT, (_row(ident, key, entry) for key, entry in entries.items() if key not in refused))
        return Stored(refused, self._make_room(db, ident), epoch)

    def _layer(self, db: sqlite3.Connection, name: str) -> tuple[int, int]:
        """The layer's id and epoch. A new one starts from the clock: a recreated file repeats no epoch."""
        query = "SELECT id, epoch FROM layers WHERE name = ?"
        row = db.execute(query, (name,)).fetchone()
        if row is None:
            db.execute("INSERT INTO layers (name, epoch) VALUES (?, ?)", (name, time.time_ns()))
            self._epochs_changed = True
            row = db.execute(query, (name,)).fetchone()
        return row[0], row[1]

    def _advance(self, db: sqlite3.Connection, layer: str) -> int:
        """Begin a new epoch of the layer; returns its id."""
        ident, _ = self._layer(db, layer)
        db.execute("UPDATE layers SET epoch = epoch + 1 WHERE id = ?", (ident,))
        self._epochs_changed = True
        return ident

    def _make_room(self, db: sqlite3.Connection, ident: int) -> int:
        evicted = 0
        while self.quota.exceeded_by(size := _size(db, ident)):
            evicted += _evict(db, ident, size, self.quota)
        while self.total.exceeded_by(held := sum(_sizes(db).values(), Size())):
            largest = db.execute("SELECT id FROM layers ORDER BY bytes DESC LIMIT 1").fetchone()[0]
            evicted += _evict(db, largest, held, self.total)
        return evicted

    def _remove(self, db: sqlite3.Connection, layer: str, keys: Sequence[bytes]) -> int:
        ident, _ = self._layer(db, layer)
        return sum(
            db.execute(
                f"DELETE FROM vectors WHERE layer = ? AND key IN ({_marks(chunk)})",  # noqa: S608 marks are ours
                (ident, *chunk),
            ).rowcount
            for chunk in _chunks(keys)
        )

    def _delete(self, db: sqlite3.Connection, layer: str, keys: Sequence[bytes]) -> int:
        self._advance(db, layer)
        return self._remove(db, layer, keys)

    def _clear(self, db: sqlite3.Connection, layer: str) -> int:
        return db.execute("DELETE FROM vectors WHERE layer = ?", (self._advance(db, layer),)).rowcount

    def _clear_writer(self, db: sqlite3.Connection, writer: str, layer: str) -> dict[str, int]:
        counts: dict[str, int] = dict(
            db.execute(
                "SELECT name, count(*) FROM vectors JOIN layers ON layers.id = vectors.layer "
                "WHERE writer = ? AND ? IN ('', name) GROUP BY name",
                (writer, layer),
            )
        )
        for name in counts:
            ident = self._advance(db, name)
            db.execute("DELETE FROM vectors WHERE writer = ? AND layer = ?", (writer, ident))
        return counts

    def _prune(self, db: sqlite3.Connection) -> Size:
        idents = [row[0] for row in db.execute("SELECT id FROM layers").fetchall()]
        pruned = sum((self._prune_layer(db, ident) for ident in idents), Size())
        db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        return pruned

    def _prune_layer(self, db: sqlite3.Connection, ident: int) -> Size:
        before = _size(db, ident)
        db.execute("DELETE FROM vectors WHERE layer = ? AND expires <= ?", (ident, self._clock()))
        return before - _size(db, ident)


def _lock(path: Path) -> IO[bytes]:
    file = path.with_suffix(".lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreLocked(path) from error
    return file


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _create(path: Path) -> sqlite3.Connection:
    db = _connect(path)
    db.execute("PRAGMA page_size = 16384")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(resources.files(__package__).joinpath("schema.sql").read_text())
    return db


def _epochs(db: sqlite3.Connection) -> dict[str, int]:
    return dict(db.execute("SELECT name, epoch FROM layers"))


def _size(db: sqlite3.Connection, ident: int) -> Size:
    return Size(*db.execute("SELECT entries, bytes FROM layers WHERE id = ?", (ident,)).fetchone())


def _sizes(db: sqlite3.Connection) -> dict[str, Size]:
    rows = db.execute("SELECT name, entries, bytes FROM layers WHERE entries > 0")
    return {name: Size(entries, size) for name, entries, size in rows}


def _evict(db: sqlite3.Connection, ident: int, size: Size, quota: Quota) -> int:
    """Remove entries that expire first: as many as are too many, or as an average entry's bytes suggest."""
    average = max(1, size.bytes // size.entries)
    surplus = max(size.entries - quota.entries, -(-(size.bytes - quota.bytes) // average), 1)
    return db.execute(_DELETE_OLDEST, (ident, surplus)).rowcount


def _row(layer: int, key: bytes, entry: Entry) -> tuple[Any, ...]:
    fmt, data, writer, created, expires = entry
    fields = (key, fmt.dimensions, int(fmt.dtype), writer, created, expires, data)
    return (layer, *fields, _checksum(*fields))


def _checksum(key: bytes, dimensions: int, dtype: int, writer: str, created: float, expires: float, data: bytes) -> int:
    """CRC-32 of everything a row says, its key included: data under another's key is damage too."""
    header = f"{dimensions} {dtype} {writer} {created!r} {expires!r}".encode()
    return zlib.crc32(data, zlib.crc32(header, zlib.crc32(key)))


@cache
def _format(dimensions: int, dtype: int) -> Format:
    return Format(dimensions, Dtype(dtype))


def _chunks(keys: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (keys[at : at + _CHUNK] for at in range(0, len(keys), _CHUNK))


def _marks(keys: Sequence[bytes]) -> str:
    return ",".join("?" * len(keys))
