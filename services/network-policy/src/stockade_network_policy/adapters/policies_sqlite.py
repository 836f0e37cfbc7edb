"""Policies in SQLite: one table of versions, of which the last of each agent type is what holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stockade_network_policy.adapters.policy_rows import COLUMNS, row_of, version_of
from stockade_network_policy.adapters.sqlite import open_database
from stockade_network_policy.domain.policy import Change, Policy, Version
from stockade_network_policy.domain.ports import SEED, Write, next_version, seed_write


class SqlitePolicies:
    """See `PolicyStore`."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = open_database(path)

    def revision(self) -> int:
        """See `PolicyStore`."""
        with self._lock:
            row = self._connection.execute("SELECT coalesce(max(revision), 0) FROM versions").fetchone()
        return int(row[0])

    def policies(self) -> list[Policy]:
        """See `PolicyStore`."""
        with self._lock:
            rows = self._connection.execute(
                f"SELECT {COLUMNS} FROM versions WHERE revision IN"  # noqa: S608 - a constant
                " (SELECT max(revision) FROM versions GROUP BY agent_type) AND change != ? ORDER BY agent_type",
                (Change.DELETED,),
            ).fetchall()
        return [version_of(row).policy for row in rows]

    def write(self, writes: Sequence[Write], *, by: str, now_ns: int) -> list[Policy]:
        """See `PolicyStore`."""
        with self._transaction():
            return [self._append(write, by, now_ns) for write in writes]

    def seed(self, policies: Sequence[Policy], *, now_ns: int) -> None:
        """See `PolicyStore`."""
        with self._transaction():
            for policy in policies:
                if write := seed_write(self._last(policy.agent_type), policy):
                    self._append(write, SEED, now_ns)

    def versions(self, agent_type: str, *, below: int, limit: int) -> list[Version]:
        """See `PolicyStore`."""
        with self._lock:
            rows = self._connection.execute(
                f"SELECT {COLUMNS} FROM versions WHERE agent_type = ? AND version < ?"  # noqa: S608 - a constant
                " ORDER BY version DESC LIMIT ?",
                (agent_type, below, limit),
            ).fetchall()
        return [version_of(row) for row in rows]

    def find_request(self, request_id: str) -> Version | None:
        """See `PolicyStore`."""
        with self._lock:
            row = self._connection.execute(
                f"SELECT {COLUMNS} FROM versions WHERE request_id = ?",  # noqa: S608 - a constant
                (request_id,),
            ).fetchone()
        return version_of(row) if row else None

    def close(self) -> None:
        """See `PolicyStore`."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _last(self, agent_type: str) -> Version | None:
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM versions WHERE agent_type = ? ORDER BY version DESC LIMIT 1",  # noqa: S608
            (agent_type,),
        ).fetchone()
        return version_of(row) if row else None

    def _append(self, write: Write, by: str, now_ns: int) -> Policy:
        made = next_version(self._last(write.policy.agent_type), write, by=by, now_ns=now_ns)
        self._connection.execute(
            f"INSERT INTO versions ({COLUMNS}, request_id) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            (*row_of(made), write.request_id or None),
        )
        return made.policy
