"""The fleet in PostgreSQL: what the nodes' copies and witnesses have put there, and the fleet's heads beside it."""

from collections.abc import Collection, Iterator
from typing import Final

import psycopg
from stockade_rpckit.postgres import Database

from stockade_audit.daemon.adapters.copy_postgres import contents_of
from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.daemon.domain.copy import CopiedEntry
from stockade_audit.daemon.domain.errors import CopyUnavailable, FleetDiffers
from stockade_audit.fleet import FleetHead, Member
from stockade_audit.head import Head

PAGE: Final = 1000
# The distinct nodes by as many look-ups in the primary key, where DISTINCT would read every entry.
_NODES: Final = """
WITH RECURSIVE found AS (
    (SELECT node FROM stockade_audit.entries ORDER BY node LIMIT 1)
    UNION ALL
    SELECT (SELECT node FROM stockade_audit.entries WHERE node > found.node ORDER BY node LIMIT 1)
    FROM found WHERE found.node IS NOT NULL
)
SELECT node FROM found WHERE node IS NOT NULL
"""
_LAST_HEADS: Final = """
SELECT origin, note FROM stockade_audit.witness_keys, LATERAL (
    SELECT note FROM stockade_audit.heads WHERE heads.origin = witness_keys.origin ORDER BY sequence DESC LIMIT 1
) AS last
"""
_FLEET_HEADS: Final = "SELECT note FROM stockade_audit.fleet_heads WHERE sequence > %s"


class PostgresFleet:
    """One connection, one caller at a time."""

    def __init__(self, url: str) -> None:
        """Nothing is connected yet. Raises UrlRefused."""
        self._database = Database(url, SCHEMA, CopyUnavailable)

    def witness_keys(self) -> dict[str, str]:
        with self._database.transaction() as connection:
            return dict(connection.execute("SELECT origin, key FROM stockade_audit.witness_keys").fetchall())

    def last_heads(self) -> dict[str, Head]:
        with self._database.transaction() as connection:
            rows = connection.execute(_LAST_HEADS).fetchall()
        return {origin: Head.unverified(note) for origin, note in rows}

    def heads(self, origin: str, first: int) -> Iterator[Head]:
        while True:
            with self._database.transaction() as connection:
                rows = connection.execute(
                    "SELECT sequence, note FROM stockade_audit.heads WHERE origin = %s AND sequence >= %s "
                    "ORDER BY sequence LIMIT %s",
                    (origin, first, PAGE),
                ).fetchall()
            yield from (Head.unverified(note) for _, note in rows)
            if len(rows) < PAGE:
                return
            first = rows[-1][0] + 1

    def copied(self) -> dict[str, dict[str, int]]:
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT node, slot, size FROM stockade_audit.journals").fetchall()
        found: dict[str, dict[str, int]] = {}
        for node, slot, size in rows:
            found.setdefault(node, {})[slot] = size
        return found

    def nodes(self) -> set[str]:
        with self._database.transaction() as connection:
            return {node for (node,) in connection.execute(_NODES)}

    def contents(self, node: str, slot: str) -> Iterator[CopiedEntry]:
        return contents_of(self._database, node, slot)

    def publish(self, head: FleetHead, members: Collection[Member]) -> None:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            try:
                cursor.execute(
                    "INSERT INTO stockade_audit.fleet_heads (sequence, note) VALUES (%s, %s)",
                    (head.sequence, head.note),
                )
            except psycopg.errors.UniqueViolation as error:
                raise FleetDiffers(f"another signs heads of this fleet: there is a head {head.sequence}") from error
            cursor.executemany(
                "INSERT INTO stockade_audit.fleet_members VALUES (%s, %s) "
                "ON CONFLICT (origin) DO UPDATE SET leaf = excluded.leaf",
                [(member.origin, member.leaf) for member in members],
            )

    def published(self) -> tuple[bytes, dict[str, bytes]]:
        with self._database.transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            row = connection.execute(f"{_FLEET_HEADS} ORDER BY sequence DESC LIMIT 1", (0,)).fetchone()
            leaves = dict(connection.execute("SELECT origin, leaf FROM stockade_audit.fleet_members").fetchall())
        return row[0] if row else b"", leaves

    def history(self) -> Iterator[FleetHead]:
        after = 0
        while True:
            with self._database.transaction() as connection:
                query = f"{_FLEET_HEADS} ORDER BY sequence LIMIT {PAGE}"
                notes = [note for (note,) in connection.execute(query, (after,)).fetchall()]
            heads = [FleetHead.unverified(note) for note in notes]
            yield from heads
            if len(heads) < PAGE:
                return
            after = heads[-1].sequence

    def close(self) -> None:
        self._database.close()
