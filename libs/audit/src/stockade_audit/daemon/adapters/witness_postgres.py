"""A witness in PostgreSQL, for many machines at once: each origin has its key and its heads."""

from collections.abc import Iterator
from typing import Final

from stockade_rpckit.migrations import Connection
from stockade_rpckit.postgres import Database

from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.daemon.domain.errors import WitnessUnavailable
from stockade_audit.head import Head, check_continues
from stockade_audit.keys import VerifierKey
from stockade_audit.witness import Proofs

PAGE: Final = 1000


class PostgresWitness:
    """Give its role no right to update or delete heads; the key is trusted when it is first seen."""

    def __init__(self, url: str, key: VerifierKey) -> None:
        """Nothing is connected yet. Raises UrlRefused."""
        self._database = Database(url, SCHEMA, WitnessUnavailable)
        self._offered = key

    def last(self) -> Head | None:
        with self._database.transaction() as connection:
            return self._last(connection, self._key(connection))

    def add(self, head: Head, proofs: Proofs) -> None:
        with self._database.transaction() as connection:
            key = self._key(connection)
            last = self._last(connection, key)
            if last is not None and last.note == head.note:
                return
            opened = Head.open(head.note, key)
            if last is not None:
                check_continues(last, opened, proofs)
            connection.execute(
                "INSERT INTO stockade_audit.heads (origin, sequence, note) VALUES (%s, %s, %s)",
                (self._offered.name, opened.sequence, opened.note),
            )

    def heads(self) -> Iterator[Head]:
        after = -1
        while True:
            with self._database.transaction() as connection:
                rows = connection.execute(
                    "SELECT sequence, note FROM stockade_audit.heads WHERE origin = %s AND sequence > %s "
                    "ORDER BY sequence LIMIT %s",
                    (self._offered.name, after, PAGE),
                ).fetchall()
            yield from (Head.unverified(note) for _, note in rows)
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    def close(self) -> None:
        self._database.close()

    def _key(self, connection: Connection) -> VerifierKey:
        """The key that is kept. Its row is locked, so that two daemons of one origin cannot both add a head."""
        name = self._offered.name
        connection.execute(
            "INSERT INTO stockade_audit.witness_keys VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, str(self._offered))
        )
        row = connection.execute(
            "SELECT key FROM stockade_audit.witness_keys WHERE origin = %s FOR UPDATE", (name,)
        ).fetchone()
        assert row is not None
        return VerifierKey.parse(row[0])

    def _last(self, connection: Connection, key: VerifierKey) -> Head | None:
        row = connection.execute(
            "SELECT note FROM stockade_audit.heads WHERE origin = %s ORDER BY sequence DESC LIMIT 1", (key.name,)
        ).fetchone()
        return Head.open(row[0], key) if row else None
