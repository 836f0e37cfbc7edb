"""Policies in SQLite: one table of versions, of which the last of each agent type is what holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stockade_network_policy.adapters.sqlite import open_database
from stockade_network_policy.domain.policy import Change, Limits, Mode, Policy, Version
from stockade_network_policy.domain.ports import SEED, Write, next_version, seed_write

_SCHEMA = """
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
) STRICT
"""
_COLUMNS = "agent_type, version, change, body, changed_by, time_ns"


class SqlitePolicies:
    """See `PolicyStore`."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = open_database(path, _SCHEMA)

    def revision(self) -> int:
        """See `PolicyStore`."""
        with self._lock:
            row = self._connection.execute("SELECT coalesce(max(revision), 0) FROM versions").fetchone()
        return int(row[0])

    def policies(self) -> list[Policy]:
        """See `PolicyStore`."""
        with self._lock:
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM versions WHERE revision IN"  # noqa: S608 - a constant
                " (SELECT max(revision) FROM versions GROUP BY agent_type) AND change != ? ORDER BY agent_type",
                (Change.DELETED,),
            ).fetchall()
        return [_version(row).policy for row in rows]

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
                f"SELECT {_COLUMNS} FROM versions WHERE agent_type = ? AND version < ?"  # noqa: S608 - a constant
                " ORDER BY version DESC LIMIT ?",
                (agent_type, below, limit),
            ).fetchall()
        return [_version(row) for row in rows]

    def find_request(self, request_id: str) -> Version | None:
        """See `PolicyStore`."""
        with self._lock:
            row = self._connection.execute(
                f"SELECT {_COLUMNS} FROM versions WHERE request_id = ?",  # noqa: S608 - a constant
                (request_id,),
            ).fetchone()
        return _version(row) if row else None

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
            f"SELECT {_COLUMNS} FROM versions WHERE agent_type = ? ORDER BY version DESC LIMIT 1",  # noqa: S608
            (agent_type,),
        ).fetchone()
        return _version(row) if row else None

    def _append(self, write: Write, by: str, now_ns: int) -> Policy:
        made = next_version(self._last(write.policy.agent_type), write, by=by, now_ns=now_ns)
        self._connection.execute(
            f"INSERT INTO versions ({_COLUMNS}, request_id) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            (*_row(made), write.request_id or None),
        )
        return made.policy


_OWN_COLUMNS = ("agent_type", "version", "changed_by", "update_time_ns")


def _row(version: Version) -> tuple[Any, ...]:
    policy = version.policy
    body = {name: value for name, value in asdict(policy).items() if name not in _OWN_COLUMNS}
    return (
        policy.agent_type,
        policy.version,
        version.change,
        json.dumps(body),
        policy.changed_by,
        policy.update_time_ns,
    )


def _version(row: tuple[Any, ...]) -> Version:
    agent_type, number, change, body, changed_by, time_ns = row
    values = json.loads(body)
    policy = Policy(
        agent_type=agent_type,
        allowed_domains=tuple(values["allowed_domains"]),
        allowed_ports=tuple(values["allowed_ports"]),
        limits=Limits(**values["limits"]),
        audit_logging=values["audit_logging"],
        block_unknown_domains=values["block_unknown_domains"],
        mode=Mode(values["mode"]),
        version=number,
        changed_by=changed_by,
        update_time_ns=time_ns,
    )
    return Version(policy=policy, change=Change(change))
