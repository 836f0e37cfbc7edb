"""The database that this service keeps: one connection, used by one thread at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """Opens or begins it, with the tables of `schema`. Callers hold a lock around each use.

    WAL with `synchronous=FULL`: a change that was answered survives a crash. Several processes may share the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(schema)
    return connection
