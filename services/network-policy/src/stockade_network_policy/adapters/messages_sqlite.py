"""Limits of messages in SQLite, beside the policies."""

from __future__ import annotations

import threading
from pathlib import Path

from stockade_network_policy.adapters.sqlite import open_database
from stockade_network_policy.domain.permits import MessageLimit


class SqliteMessageLimits:
    """See `MessageLimitStore`."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = open_database(path)

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
