"""The database that this service keeps: one connection, used by one thread at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from stockade_audit.sqlite_schema import open_file

_VERSION = 1
_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
_TABLES = """
CREATE TABLE IF NOT EXISTS versions (
    revision    INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_type  TEXT NOT NULL,
    version     INTEGER NOT NULL,
    change      TEXT NOT NULL,
    body        TEXT NOT NULL,
    changed_by  TEXT NOT NULL,
    time_ns     INTEGER NOT NULL,
    request_id  TEXT UNIQUE,
    UNIQUE (agent_type, version)
) STRICT;
CREATE TABLE IF NOT EXISTS message_limits (
    message_type         TEXT NOT NULL,
    agent_type           TEXT NOT NULL,
    messages_per_minute  INTEGER NOT NULL,
    burst                INTEGER NOT NULL,
    PRIMARY KEY (message_type, agent_type)
) STRICT, WITHOUT ROWID;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Opens or begins it. Callers hold a lock around each use. Raises sqlite3.Error, OSError.

    WAL with `synchronous=FULL`: a change that was answered survives a crash. Several processes may share the file.
    """
    return open_file(path, _TABLES, _VERSION, _PRAGMAS, patience_s=5.0, isolation_level=None)
