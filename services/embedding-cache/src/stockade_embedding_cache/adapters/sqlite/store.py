"""Port `Store` on a file."""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stockade_embedding_cache.adapters.sqlite import layers, row
from stockade_embedding_cache.adapters.sqlite.database import Database
from stockade_embedding_cache.domain.entry import Batch, Entry, Quota, Size
from stockade_embedding_cache.domain.ports import Clock, Listed, Stored, StoreUnavailable
from stockade_embedding_cache.domain.vector import read_format

VACUUM_PAGES = 1000
_CHUNK = 500  # keys in one statement

_SELECT = """
    SELECT {columns} FROM vectors
    WHERE layer = (SELECT id FROM layers WHERE name = ?) AND expires > ? AND key IN ({marks})
"""
_PAGE = """
    SELECT key, dimensions, dtype, writer, created, expires FROM vectors
    WHERE layer = (SELECT id FROM layers WHERE name = ?) AND key > ? AND expires > ? AND ? IN ('', writer)
    ORDER BY key LIMIT ?
"""
_UPSERT = """
    INSERT INTO vectors (layer, key, dimensions, dtype, writer, created, expires, data, checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (layer, key) DO UPDATE SET dimensions = excluded.dimensions, dtype = excluded.dtype,
        writer = excluded.writer, created = excluded.created, expires = excluded.expires,
        data = excluded.data, checksum = excluded.checksum
"""
_REMOVE = "DELETE FROM vectors WHERE layer = ? AND key IN ({marks})"
_REMOVE_SOONEST = """
    DELETE FROM vectors WHERE id IN (SELECT id FROM vectors WHERE layer = ? ORDER BY expires LIMIT ?)
"""
_COUNT_WRITER = """
    SELECT name, count(*) FROM vectors JOIN layers ON layers.id = vectors.layer
    WHERE writer = ? AND ? IN ('', name) GROUP BY name
"""


class SqliteStore:
    """Port `Store`.

    Args:
        path: the database; its directory is made.
        quota: most that one layer may hold; what expires next makes room.
        total: most that all layers together may hold; the largest layer gives way.

    Raises:
        StoreLocked, StoreDamaged: when the file cannot be used.
    """

    name = "sqlite"

    def __init__(self, path: Path, *, total: Quota, quota: Quota, clock: Clock = time.time) -> None:
        self.total, self.quota, self._clock = total, quota, clock
        self._epochs: dict[str, int] = {}
        self._database = Database(path, self._note_epochs)

    @property
    def degraded_since(self) -> float | None:
        return self._database.breaker.since

    async def get(self, layer: str, keys: Sequence[bytes]) -> Batch:
        try:
            batch, damaged = await self._database.read(self._get, layer, keys)
        except sqlite3.DatabaseError:  # a page that cannot be read: its rows are as good as lost
            return Batch([None] * len(keys), 0, len(keys))
        if damaged:
            with suppress(StoreUnavailable):
                await self._database.write(self._remove, layer, damaged)
        return batch

    async def has(self, layer: str, keys: Sequence[bytes]) -> list[bool]:
        return await self._database.read(self._has, layer, keys)

    async def put(self, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        return await self._database.write(self._put, layer, entries)

    async def delete(self, layer: str, keys: Sequence[bytes]) -> int:
        return await self._database.write(self._delete, layer, keys)

    async def clear(self, layer: str) -> int:
        return await self._database.write(self._clear, layer)

    async def clear_writer(self, writer: str, layer: str = "") -> dict[str, int]:
        return await self._database.write(self._clear_writer, writer, layer)

    async def epoch(self, layer: str) -> int:
        # No other process writes this file (StoreLocked), so what was noted at the last commit still holds.
        return self._epochs.get(layer, 0)

    async def page(self, layer: str, *, after: bytes = b"", limit: int, writer: str = "") -> Sequence[Listed]:
        return await self._database.read(self._page, layer, after, limit, writer)

    async def size(self, layer: str) -> Size:
        return await self._database.write(self._size, layer)

    async def sizes(self) -> dict[str, Size]:
        return await self._database.read(layers.sizes)

    async def prune(self) -> Size:
        return await self._database.write(self._prune)

    async def close(self) -> None:
        self._database.close()

    # What follows runs on the database's threads.

    def _note_epochs(self, db: sqlite3.Connection) -> None:
        self._epochs = layers.epochs(db)

    def _get(self, db: sqlite3.Connection, layer: str, keys: Sequence[bytes]) -> tuple[Batch, Sequence[bytes]]:
        found = {read[0]: row.decode(read) for read in self._select(db, row.COLUMNS, layer, keys)}
        damaged = [key for key, entry in found.items() if entry is None]
        return Batch([found.get(key) for key in keys], layers.epoch(db, layer), len(damaged)), damaged

    def _has(self, db: sqlite3.Connection, layer: str, keys: Sequence[bytes]) -> list[bool]:
        present = {read[0] for read in self._select(db, "key", layer, keys)}
        return [key in present for key in keys]

    def _select(
        self, db: sqlite3.Connection, columns: str, layer: str, keys: Sequence[bytes]
    ) -> Iterable[tuple[Any, ...]]:
        now = self._clock()
        for chunk in _chunks(keys):
            query = _SELECT.format(columns=columns, marks=_marks(chunk))
            yield from db.execute(query, (layer, now, *chunk))

    def _page(self, db: sqlite3.Connection, layer: str, after: bytes, limit: int, writer: str) -> list[Listed]:
        rows = db.execute(_PAGE, (layer, after, self._clock(), writer, limit))
        return [Listed(key, read_format(d, t), who, born, ends) for key, d, t, who, born, ends in rows]

    def _put(self, db: sqlite3.Connection, layer: str, entries: Mapping[bytes, Entry]) -> Stored:
        ident = layers.find(db, layer)
        largest = min(self.quota.bytes, self.total.bytes)
        refused = frozenset(key for key, entry in entries.items() if len(entry.data) > largest)
        kept = ((ident, *row.encode(key, entry)) for key, entry in entries.items() if key not in refused)
        db.executemany(_UPSERT, kept)
        return Stored(refused, self._make_room(db, ident), layers.epoch(db, layer))

    def _make_room(self, db: sqlite3.Connection, ident: int) -> int:
        evicted = 0
        while surplus := self.quota.surplus(layers.size(db, ident)):
            evicted += db.execute(_REMOVE_SOONEST, (ident, surplus)).rowcount
        while surplus := self.total.surplus(sum(layers.sizes(db).values(), Size())):
            evicted += db.execute(_REMOVE_SOONEST, (layers.largest(db), surplus)).rowcount
        return evicted

    def _delete(self, db: sqlite3.Connection, layer: str, keys: Sequence[bytes]) -> int:
        layers.advance(db, layer)
        return self._remove(db, layer, keys)

    def _remove(self, db: sqlite3.Connection, layer: str, keys: Sequence[bytes]) -> int:
        ident = layers.find(db, layer)
        removals = (db.execute(_REMOVE.format(marks=_marks(chunk)), (ident, *chunk)) for chunk in _chunks(keys))
        return sum(removal.rowcount for removal in removals)

    def _clear(self, db: sqlite3.Connection, layer: str) -> int:
        return db.execute("DELETE FROM vectors WHERE layer = ?", (layers.advance(db, layer),)).rowcount

    def _clear_writer(self, db: sqlite3.Connection, writer: str, layer: str) -> dict[str, int]:
        counts: dict[str, int] = dict(db.execute(_COUNT_WRITER, (writer, layer)).fetchall())
        for name in counts:
            ident = layers.advance(db, name)
            db.execute("DELETE FROM vectors WHERE writer = ? AND layer = ?", (writer, ident))
        return counts

    def _size(self, db: sqlite3.Connection, layer: str) -> Size:
        ident = layers.find(db, layer)
        self._prune_layer(db, ident)
        return layers.size(db, ident)

    def _prune(self, db: sqlite3.Connection) -> Size:
        idents = [read[0] for read in db.execute("SELECT id FROM layers").fetchall()]
        pruned = sum((self._prune_layer(db, ident) for ident in idents), Size())
        db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        return pruned

    def _prune_layer(self, db: sqlite3.Connection, ident: int) -> Size:
        before = layers.size(db, ident)
        db.execute("DELETE FROM vectors WHERE layer = ? AND expires <= ?", (ident, self._clock()))
        return before - layers.size(db, ident)


def _chunks(keys: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (keys[at : at + _CHUNK] for at in range(0, len(keys), _CHUNK))


def _marks(keys: Sequence[bytes]) -> str:
    return ",".join("?" * len(keys))
