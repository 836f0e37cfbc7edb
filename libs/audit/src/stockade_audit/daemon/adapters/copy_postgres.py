"""The copy in PostgreSQL: a row for each entry, its leaf's exact bytes among it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from stockade_rpckit.migrations import Connection
from stockade_rpckit.postgres import Database

from stockade_audit.daemon.adapters.postgres_schema import SCHEMA
from stockade_audit.daemon.domain.copy import COLUMNS, Copied, CopiedEntry, grow
from stockade_audit.daemon.domain.errors import CopyRefused, CopyUnavailable
from stockade_audit.tree import Frontier

PAGE: Final = 5000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_HASH_BYTES: Final = 32
_STORED: Final = f"position, hash, leaf, time, {', '.join(COLUMNS)}"


class PostgresCopy:
    """One connection, one caller at a time."""

    def __init__(self, url: str, node: str) -> None:
        """Nothing is connected yet: a database that is away must keep nobody from starting. Raises UrlRefused."""
        self._database = Database(url, SCHEMA, CopyUnavailable)
        self._node = node

    def copied(self) -> list[Copied]:
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT slot, size, edge FROM stockade_audit.journals WHERE node = %s ORDER BY slot", (self._node,)
            ).fetchall()
        trees = [(slot, _tree(size, edge)) for slot, size, edge in rows]
        return [Copied(slot, tree.size, tree.root()) for slot, tree in trees]

    def add(self, slot: str, entries: Sequence[CopiedEntry], root: bytes) -> None:
        with self._database.transaction() as connection:
            tree = self._locked_tree(connection, slot)
            grow(tree, slot, entries, root)
            try:
                self._insert(connection, slot, entries)
            except (psycopg.errors.CheckViolation, psycopg.errors.UniqueViolation) as error:
                raise CopyRefused(slot, str(error.diag.message_primary)) from error
            connection.execute(
                "UPDATE stockade_audit.journals SET size = %s, edge = %s WHERE node = %s AND slot = %s",
                (tree.size, b"".join(tree.hashes), self._node, slot),
            )

    def contents(self, slot: str) -> Iterator[CopiedEntry]:
        yield from contents_of(self._database, self._node, slot)

    def close(self) -> None:
        self._database.close()

    def _locked_tree(self, connection: Connection, slot: str) -> Frontier:
        """What is there of a journal, held until the transaction's end so that two daemons cannot both continue it."""
        connection.execute(
            "INSERT INTO stockade_audit.journals VALUES (%s, %s, 0, '') ON CONFLICT DO NOTHING", (self._node, slot)
        )
        row = connection.execute(
            "SELECT size, edge FROM stockade_audit.journals WHERE node = %s AND slot = %s FOR UPDATE",
            (self._node, slot),
        ).fetchone()
        assert row is not None
        return _tree(*row)

    def _insert(self, connection: Connection, slot: str, entries: Sequence[CopiedEntry]) -> None:
        with connection.cursor() as cursor:
            copy = f"COPY stockade_audit.entries (node, slot, {_STORED}) FROM STDIN WITH (FORMAT BINARY)"
            with cursor.copy(copy) as rows:  # type: ignore[arg-type]
                rows.set_types(["text", "text", "int8", "bytea", "bytea", "timestamptz", *["text"] * len(COLUMNS)])
                for entry in entries:
                    time = _EPOCH + entry.time_us * _MICROSECOND
                    rows.write_row((self._node, slot, entry.position, entry.hash, entry.leaf, time, *entry.columns))


def contents_of(database: Database, node: str, slot: str) -> Iterator[CopiedEntry]:
    """What there is of a node's journal, by position, in bounded memory."""
    start = 0
    query = f"SELECT {_STORED} FROM stockade_audit.entries WHERE node = %s AND slot = %s AND position >= %s"  # noqa: S608
    while True:
        with database.transaction() as connection:
            rows = connection.execute(
                f"{query} ORDER BY position LIMIT {PAGE}",  # type: ignore[arg-type]
                (node, slot, start),
                binary=True,
            ).fetchall()
        yield from map(_entry, rows)
        if len(rows) < PAGE:
            return
        start = rows[-1][0] + 1


def _tree(size: int, edge: bytes) -> Frontier:
    return Frontier(size, [edge[at : at + _HASH_BYTES] for at in range(0, len(edge), _HASH_BYTES)])


def _entry(row: tuple[Any, ...]) -> CopiedEntry:
    position, hash_, leaf, time, *columns = row
    return CopiedEntry(position, hash_, leaf, (time - _EPOCH) // _MICROSECOND, tuple(columns))
