"""Policies in PostgreSQL, for replicas that share them: one table of versions, the last of each agent type holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from stockade_rpckit.migrations import Connection
from stockade_rpckit.postgres import Database

from stockade_network_policy.adapters.policy_rows import COLUMNS, row_of, version_of
from stockade_network_policy.domain.policy import Change, Policy, Version
from stockade_network_policy.domain.ports import SEED, Write, next_version, seed_write

_SELECT: Final = f"SELECT {COLUMNS} FROM stockade_policy.versions"  # noqa: S608 - constants of ours
_INSERT: Final = f"INSERT INTO stockade_policy.versions ({COLUMNS}, request_id) VALUES (%s, %s, %s, %s, %s, %s, %s)"  # noqa: S608 - the same
_LAST: Final = (
    "SELECT DISTINCT ON (agent_type) revision FROM stockade_policy.versions ORDER BY agent_type, version DESC"
)
_WRITING: Final = 0x706F6C6963696573  # "policies"


class PostgresPolicies:
    """See `PolicyStore`; every method raises PoliciesUnavailable where the database does not answer in time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self) -> int:
        """See `PolicyStore`."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT coalesce(max(revision), 0) FROM stockade_policy.versions").fetchone()
        return int(row[0]) if row else 0

    def policies(self) -> list[Policy]:
        """See `PolicyStore`."""
        with self._database.transaction() as connection:
            rows = connection.execute(f"{_SELECT} WHERE revision IN ({_LAST})").fetchall()
        last = sorted(map(version_of, rows), key=lambda version: version.policy.agent_type)
        return [version.policy for version in last if version.change is not Change.DELETED]

    def write(self, writes: Sequence[Write], *, by: str, now_ns: int) -> list[Policy]:
        """See `PolicyStore`."""
        with self._writing() as connection:
            return [_append(connection, write, by, now_ns) for write in writes]

    def seed(self, policies: Sequence[Policy], *, now_ns: int) -> None:
        """See `PolicyStore`."""
        with self._writing() as connection:
            for policy in policies:
                if write := seed_write(_last(connection, policy.agent_type), policy):
                    _append(connection, write, SEED, now_ns)

    def versions(self, agent_type: str, *, below: int, limit: int) -> list[Version]:
        """See `PolicyStore`."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"{_SELECT} WHERE agent_type = %s AND version < %s ORDER BY version DESC LIMIT %s",
                (agent_type, below, limit),
            ).fetchall()
        return [version_of(row) for row in rows]

    def find_request(self, request_id: str) -> Version | None:
        """See `PolicyStore`."""
        with self._database.transaction() as connection:
            row = connection.execute(f"{_SELECT} WHERE request_id = %s", (request_id,)).fetchone()
        return version_of(row) if row else None

    def close(self) -> None:
        """See `PolicyStore`."""
        self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One writer at a time, of all replicas: etags are compared with what holds, and revisions come in order.

        Were two under way, the higher revision could be seen first, and whoever polls would never see the lower.
        """
        with self._database.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITING,))
            yield connection


def _last(connection: Connection, agent_type: str) -> Version | None:
    row = connection.execute(f"{_SELECT} WHERE agent_type = %s ORDER BY version DESC LIMIT 1", (agent_type,)).fetchone()
    return version_of(row) if row else None


def _append(connection: Connection, write: Write, by: str, now_ns: int) -> Policy:
    made = next_version(_last(connection, write.policy.agent_type), write, by=by, now_ns=now_ns)
    connection.execute(_INSERT, (*row_of(made), write.request_id or None))
    return made.policy
