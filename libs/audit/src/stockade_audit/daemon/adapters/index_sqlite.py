"""The index in SQLite: where each entry lies, by what it is looked for, and counts by minute."""

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

from stockade_audit.daemon.domain.query import (
    COLUMNS,
    MEMBERS,
    MINUTE_NS,
    Cursor,
    Filter,
    Indexed,
    Rollups,
    Row,
    Stats,
    StatsQuery,
    StatsRow,
    rollups_of,
)
from stockade_audit.entry import parse_time
from stockade_audit.reader import Located, Place
from stockade_audit.sealing import Opened

_VERSION: Final = 2  # of the tables; of another version they are made again
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS journals (
    slot TEXT PRIMARY KEY, segment INTEGER, offset INTEGER, position INTEGER, time_ns INTEGER, key TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    slot TEXT, position INTEGER, time_ns INTEGER, id TEXT, action TEXT, agent TEXT, agent_type TEXT, domain TEXT,
    sandbox TEXT, principal TEXT, service TEXT, trace_id TEXT, intent_id TEXT, agent_key INTEGER, principal_key INTEGER,
    segment INTEGER, offset INTEGER, length INTEGER,
    PRIMARY KEY (slot, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_time ON entries (time_ns);
CREATE INDEX IF NOT EXISTS entries_id ON entries (id);
CREATE INDEX IF NOT EXISTS entries_agent ON entries (agent, time_ns) WHERE agent IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_agent_type ON entries (agent_type, time_ns) WHERE agent_type IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_domain ON entries (domain, time_ns) WHERE domain IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_action ON entries (action, time_ns);
CREATE INDEX IF NOT EXISTS entries_sandbox ON entries (sandbox, time_ns) WHERE sandbox IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_principal ON entries (principal, time_ns) WHERE principal IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_trace ON entries (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_intent ON entries (intent_id) WHERE intent_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS rollups (
    slot TEXT, minute INTEGER, service TEXT, action TEXT, agent TEXT, agent_type TEXT, domain TEXT, agent_key INTEGER,
    count INTEGER, bytes_sent INTEGER, bytes_received INTEGER, duration_us INTEGER,
    PRIMARY KEY (minute, slot, service, action, agent, agent_type, domain, agent_key)
) WITHOUT ROWID;
"""
_ROLLUP: Final = (
    "minute, service, action, agent, agent_type, domain, agent_key, count, bytes_sent, bytes_received, duration_us"
)
_KEYS: Final = ("agent", "principal")  # the columns that may lie in the leaf under a key
_LOCATION: Final = "slot, position, time_ns, segment, offset, length"


class SqliteIndex:
    """One writer, many readers: each call of a reader opens what it needs from a small pool of connections."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._writer = self._connect()
        self._writer.executescript("PRAGMA auto_vacuum = INCREMENTAL;")
        self._prepare()
        path.chmod(0o600)
        self._writing = Lock()
        self._idle: list[sqlite3.Connection] = []

    def close(self) -> None:
        """Let go of the file, once nobody writes to it: SQLite is not safe against a close in mid-statement."""
        with self._writing:
            self._writer.close()
        for connection in self._idle:
            connection.close()

    def indexed(self) -> list[Indexed]:
        with self._reader() as db:
            rows = db.execute("SELECT slot, segment, offset, position, time_ns, key FROM journals ORDER BY slot")
            return [
                Indexed(slot, Place(segment, offset, position), time_ns, key)
                for slot, segment, offset, position, time_ns, key in rows
            ]

    def add(self, state: Indexed, located: Sequence[Located], entries: Sequence[Opened]) -> None:
        times = [parse_time(entry.fields["time"]) for entry in entries]
        rows = [
            (state.slot, at.position, time_ns, *_columns(entry), at.segment, at.offset, len(at.leaf))
            for at, entry, time_ns in zip(located, entries, times, strict=True)
        ]
        place = state.place
        with self._writing, self._writer as db:
            db.executemany(f"INSERT INTO entries VALUES ({','.join('?' * 18)})", rows)  # noqa: S608
            rollups = rollups_of(entries, times)
            db.executemany(_ADD_ROLLUP, [(state.slot, *key, *counts) for key, counts in rollups.items()])
            db.execute(
                "INSERT OR REPLACE INTO journals VALUES (?, ?, ?, ?, ?, ?)",
                (state.slot, place.segment, place.offset, place.position, state.time_ns, state.key),
            )

    def forget(self, slot: str) -> None:
        with self._writing, self._writer as db:
            for table in ("entries", "rollups", "journals"):
                db.execute(f"DELETE FROM {table} WHERE slot = ?", (slot,))  # noqa: S608 - a name of ours

    def find(self, filter_: Filter, *, limit: int, newest_first: bool = True, after: Cursor | None = None) -> list[Row]:
        where, values = _conditions(filter_)
        if after is not None:
            where.append(f"(time_ns, slot, position) {'<' if newest_first else '>'} (?, ?, ?)")
            values += [after.time_ns, after.slot, after.position]
        direction = "DESC" if newest_first else "ASC"
        order = ", ".join(f"{column} {direction}" for column in ("time_ns", "slot", "position"))
        return self._rows(f"{_where(where)} ORDER BY {order} LIMIT ?", [*values, limit])

    def scan(self, filter_: Filter, slot: str, start: int, end: int) -> Iterator[Row]:
        where, values = _conditions(filter_)
        clause = f"{_where([*where, 'slot = ?', 'position >= ?', 'position < ?'])} ORDER BY position LIMIT 1000"
        while page := self._rows(clause, [*values, slot, start, end]):
            yield from page
            start = page[-1].position + 1

    def snapshot(self, slot: str) -> tuple[int, Rollups]:
        with self._reader() as db:
            db.execute("BEGIN")
            try:
                size = db.execute("SELECT position FROM journals WHERE slot = ?", (slot,)).fetchone()
                rows = db.execute(f"SELECT {_ROLLUP} FROM rollups WHERE slot = ?", (slot,)).fetchall()  # noqa: S608
            finally:
                db.execute("COMMIT")
        return (size[0] if size else 0), {row[:7]: row[7:] for row in rows}

    def contents(self, slot: str, end: int) -> Iterator[tuple[Any, ...]]:
        start = 0
        columns = f"position, time_ns, {', '.join(COLUMNS)}, agent_key, principal_key"
        clause = "WHERE slot = ? AND position >= ? AND position < ? ORDER BY position LIMIT 5000"
        query = f"SELECT {columns} FROM entries {clause}"  # noqa: S608 - names of ours
        while True:
            with self._reader() as db:
                page = db.execute(query, (slot, start, end)).fetchall()
            yield from page
            if not page:
                return
            start = page[-1][0] + 1

    def get(self, identity: str) -> Row | None:
        return next(iter(self._rows("WHERE id = ? ORDER BY time_ns LIMIT 1", [identity])), None)

    def forget_keys(self, numbers: Collection[int]) -> int:
        with self._writing, self._writer as db:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS gone (number INTEGER PRIMARY KEY)")
            db.execute("DELETE FROM gone")
            db.executemany("INSERT INTO gone VALUES (?)", [(number,) for number in numbers])
            (rows,) = db.execute(_COUNT_ROWS).fetchone()
            for statement in _FORGET_ROWS:
                db.execute(statement)
            db.execute(_MOVE_ROLLUPS)
            db.execute("DELETE FROM rollups WHERE agent_key IN gone")
        self._truncate()
        return int(rows)

    def related(self, identity: str) -> list[Row]:
        return self._rows("WHERE intent_id = ? ORDER BY time_ns LIMIT 100", [identity])

    def stats(self, query: StatsQuery) -> Stats:
        where, values = _stats_conditions(query)
        columns = ", ".join(query.group_by)
        totals = "SUM(count), SUM(bytes_sent), SUM(bytes_received), SUM(duration_us)"
        grouped = f"GROUP BY {columns} ORDER BY SUM(count) DESC, {columns} LIMIT ?"
        with self._reader() as db:
            (total,) = db.execute(f"SELECT COALESCE(SUM(count), 0) FROM rollups {where}", values).fetchone()  # noqa: S608
            rows = db.execute(
                f"SELECT {columns}, {totals} FROM rollups {where} {grouped}",  # noqa: S608
                [*values, query.limit + 1],
            ).fetchall()
        width = len(query.group_by)
        found = [StatsRow(dict(zip(query.group_by, row, strict=False)), *row[width:]) for row in rows[: query.limit]]
        return Stats(tuple(found), total, len(rows) > query.limit)

    def _rows(self, clause: str, values: Sequence[Any]) -> list[Row]:
        with self._reader() as db, closing(db.execute(f"SELECT {_LOCATION} FROM entries {clause}", values)) as rows:  # noqa: S608
            return [Row(*row) for row in rows]

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def _prepare(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            for table in ("entries", "rollups", "journals"):
                self._writer.execute(f"DROP TABLE IF EXISTS {table}")
        self._writer.executescript(f"{_SCHEMA} PRAGMA user_version = {_VERSION};")

    def _truncate(self) -> None:
        """Leave nothing of what was overwritten in the write-ahead log; readers are waited for."""
        deadline = time.monotonic() + 10
        while True:
            with self._writing:
                (busy, *_) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy or time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, timeout=10)
        # FULL is not needed: what a power cut takes from the index is read from the journals again.
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;")
        return connection


_ADD_ROLLUP: Final = """
INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes_sent = bytes_sent + excluded.bytes_sent,
    bytes_received = bytes_received + excluded.bytes_received, duration_us = duration_us + excluded.duration_us
"""


_COUNT_ROWS: Final = "SELECT COUNT(*) FROM entries WHERE agent_key IN gone OR principal_key IN gone"
_FORGET_ROWS: Final = tuple(
    f"UPDATE entries SET {name} = NULL, {name}_key = 0 WHERE {name}_key IN gone"  # noqa: S608 - names of ours
    for name in _KEYS
)
_MOVE_ROLLUPS: Final = """
INSERT INTO rollups
SELECT slot, minute, service, action, '', agent_type, domain, 0,
    SUM(count), SUM(bytes_sent), SUM(bytes_received), SUM(duration_us)
FROM rollups WHERE agent_key IN gone GROUP BY slot, minute, service, action, agent_type, domain
ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes_sent = bytes_sent + excluded.bytes_sent,
    bytes_received = bytes_received + excluded.bytes_received, duration_us = duration_us + excluded.duration_us
"""


def _columns(entry: Opened) -> tuple[Any, ...]:
    return (*map(entry.fields.get, COLUMNS), *(entry.keys.get(name, 0) for name in _KEYS))


def _conditions(filter_: Filter) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if filter_.start_ns:
        where.append("time_ns >= ?")
        values.append(filter_.start_ns)
    if filter_.end_ns:
        where.append("time_ns < ?")
        values.append(filter_.end_ns)
    if filter_.trace_id:
        where.append("trace_id = ?")
        values.append(filter_.trace_id)
    for name, column in MEMBERS:
        _any_of(column, getattr(filter_, name), where, values)
    return where, values


def _stats_conditions(query: StatsQuery) -> tuple[str, list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if query.start_ns:
        where.append("minute >= ?")
        values.append(query.start_ns // MINUTE_NS)
    if query.end_ns:
        where.append("minute < ?")
        values.append(-(-query.end_ns // MINUTE_NS))
    for column, wanted in (("action", query.actions), ("agent", query.agents), ("agent_type", query.agent_types)):
        _any_of(column, wanted, where, values)
    return _where(where), values


def _any_of(column: str, wanted: Sequence[str], where: list[str], values: list[Any]) -> None:
    if wanted:
        where.append(f"{column} IN ({','.join('?' * len(wanted))})")
        values.extend(wanted)


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""
