"""Spans in SQLite."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

from stockade_audit.daemon.domain.errors import TraceNotFound
from stockade_audit.daemon.domain.span import Span, TraceQuery, TraceSummary
from stockade_audit.sqlite_schema import open_file

_PRAGMAS: Final = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA secure_delete = ON;"
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS spans (
    trace_id TEXT, span_id TEXT, parent_span_id TEXT, name TEXT, service TEXT, kind TEXT, start_ns INTEGER,
    end_ns INTEGER, status TEXT, status_message TEXT, attributes TEXT, links TEXT, PRIMARY KEY (trace_id, span_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spans_start ON spans (start_ns);
CREATE TABLE IF NOT EXISTS traces (
    trace_id TEXT PRIMARY KEY, name TEXT, start_ns INTEGER, end_ns INTEGER, spans INTEGER, errors INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS traces_start ON traces (start_ns);
"""
_SUMMARISE: Final = """
INSERT OR REPLACE INTO traces
SELECT trace_id,
    (SELECT name FROM spans s WHERE s.trace_id = t.trace_id ORDER BY parent_span_id <> '', start_ns LIMIT 1),
    MIN(start_ns), MAX(end_ns), COUNT(*), SUM(status = 'ERROR')
FROM spans t WHERE trace_id = ? GROUP BY trace_id
"""


_CARRYING: Final = "SELECT trace_id, span_id FROM spans WHERE instr(attributes, ?)"


class SqliteSpans:
    """One connection under a lock. A crash may lose the last spans: they are a help, never the record."""

    def __init__(self, path: Path) -> None:
        self._db = open_file(path, _SCHEMA, _VERSION, _PRAGMAS)
        path.chmod(0o600)
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the file, once nobody is at work in it: SQLite is not safe against a close in mid-statement."""
        with self._lock:
            self._db.close()

    def add(self, spans: Sequence[Span]) -> None:
        with self._writing() as db:
            db.executemany(f"INSERT OR REPLACE INTO spans VALUES ({','.join('?' * 12)})", map(_row, spans))  # noqa: S608
            db.executemany(_SUMMARISE, {(span.trace_id,) for span in spans})

    def traces(self, query: TraceQuery) -> list[TraceSummary]:
        where, values = _conditions(query)
        columns = "trace_id, name, start_ns, end_ns, spans, errors"
        order = f"WHERE {' AND '.join(where)} ORDER BY start_ns DESC, trace_id DESC LIMIT ?"
        with self._lock:
            rows = self._db.execute(f"SELECT {columns} FROM traces {order}", [*values, query.limit]).fetchall()  # noqa: S608
            services = [self._services(row[0]) for row in rows]
        return [
            TraceSummary(trace_id, name, start_ns, end_ns, spans, found, errors)
            for (trace_id, name, start_ns, end_ns, spans, errors), found in zip(rows, services, strict=True)
        ]

    def trace(self, prefix: str) -> list[Span]:
        with self._lock:
            ids = self._db.execute(
                "SELECT trace_id FROM traces WHERE trace_id >= ? AND trace_id <= ? LIMIT 2", (prefix, prefix + "g")
            ).fetchall()
            if len(ids) != 1:
                raise TraceNotFound(prefix, several=bool(ids))
            rows = self._db.execute("SELECT * FROM spans WHERE trace_id = ? ORDER BY start_ns, end_ns DESC", ids[0])
            return [_span(row) for row in rows]

    def forget(self, subjects: Collection[str]) -> int:
        with self._writing() as db:
            spans = [row for name in subjects for row in db.execute(_CARRYING, (name,))]
            db.executemany("DELETE FROM spans WHERE trace_id = ? AND span_id = ?", spans)
            traces = {(trace_id,) for trace_id, _ in spans}
            db.executemany("DELETE FROM traces WHERE trace_id = ?", traces)
            db.executemany(_SUMMARISE, traces)
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return len(spans)

    def prune(self, before_ns: int, keep: int) -> int:
        with self._writing() as db:
            (over,) = db.execute("SELECT MAX(0, COUNT(*) - ?) FROM spans", (keep,)).fetchone()
            if over:
                (start,) = db.execute(
                    "SELECT start_ns FROM spans ORDER BY start_ns LIMIT 1 OFFSET ?", (over,)
                ).fetchone()
                before_ns = max(before_ns, start)
            dropped = db.execute("DELETE FROM spans WHERE start_ns < ?", (before_ns,)).rowcount
            db.execute("DELETE FROM traces WHERE end_ns < ?", (before_ns,))
            return dropped

    def _services(self, trace_id: str) -> tuple[str, ...]:
        query = "SELECT DISTINCT service FROM spans WHERE trace_id = ? ORDER BY service"
        return tuple(service for (service,) in self._db.execute(query, (trace_id,)))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._db as db:
            yield db


def _conditions(query: TraceQuery) -> tuple[list[str], list[Any]]:
    offered: list[tuple[str, Sequence[Any], bool]] = [
        ("start_ns >= ?", [query.start_ns], True),
        ("start_ns < ?", [query.end_ns], bool(query.end_ns)),
        ("errors > 0", [], query.errors_only),
        ("end_ns - start_ns >= ?", [query.min_duration_ns], bool(query.min_duration_ns)),
        ("(start_ns, trace_id) < (?, ?)", query.before or (), query.before is not None),
        ("trace_id IN (SELECT trace_id FROM spans WHERE service = ?)", [query.service], bool(query.service)),
        ("trace_id IN (SELECT trace_id FROM spans WHERE name = ?)", [query.name], bool(query.name)),
    ]
    chosen = [(condition, values) for condition, values, is_wanted in offered if is_wanted]
    return [condition for condition, _ in chosen], [value for _, values in chosen for value in values]


def _row(span: Span) -> tuple[Any, ...]:
    return (
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.name,
        span.service,
        span.kind,
        span.start_ns,
        span.end_ns,
        span.status,
        span.status_message,
        json.dumps(span.attributes),
        json.dumps(span.links),
    )


def _span(row: tuple[Any, ...]) -> Span:
    trace_id, span_id, parent, name, service, kind, start_ns, end_ns, status, message, attributes, links = row
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        service=service,
        kind=kind,
        start_ns=start_ns,
        end_ns=end_ns,
        status=status,
        status_message=message,
        attributes=json.loads(attributes),
        links=tuple(json.loads(links)),
    )
