"""Limits of messages in SQLite, beside the policies."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from stockade_network_policy.domain.permits import MessageLimit

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message_limits (
    message_type         TEXT NOT NULL,
    agent_type           TEXT NOT NULL,
    messages_per_minute  INTEGER NOT NULL,
    burst                INTEGER NOT NULL,
    PRIMARY KEY (message_type, agent_type)
) STRICT, WITHOUT ROWID
"""


class SqliteMessageLimits:
    """See `MessageLimitStore`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()  # one connection, one statement at a time
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(_SCHEMA)

    def all(self) -> list[MessageLimit]:
        """See `MessageLimitStore`."""
        with self._lock:
            rows = self._connection.execute("SELECT * FROM message_limits").fetchall()
        return [
            MessageLimit(message_type=message_type, agent_type=agent_type, messages_per_minute=rate, burst=burst)
            for message_type, agent_type, rate, burst in rows
        ]

    def put(self, limit: MessageLimit) -> None:
        """See `MessageLimitStore`."""
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO message_limits VALUES (?, ?, ?, ?)",
                (limit.message_type, limit.agent_type, limit.messages_per_minute, limit.burst),
            )

    def close(self) -> None:
        """See `MessageLimitStore`."""
        with self._lock:
            self._connection.close()
