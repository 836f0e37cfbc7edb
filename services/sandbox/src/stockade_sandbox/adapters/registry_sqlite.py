"""The registry in SQLite. In memory with the path ":memory:", for tests."""

import asyncio
import dataclasses
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stockade_audit.sqlite_schema import open_file
from stockade_rpckit import threads

from stockade_sandbox.adapters.documents import document, plain, sandbox_of, snapshot_of
from stockade_sandbox.domain.placement import REQUEST_SECONDS
from stockade_sandbox.domain.sandbox import Sandbox
from stockade_sandbox.domain.snapshot import Snapshot

_VERSION = 1
_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sandboxes (name TEXT PRIMARY KEY, created_at REAL NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    owner TEXT NOT NULL, request_id TEXT NOT NULL, digest TEXT NOT NULL, sandbox TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (owner, request_id)
);
CREATE TABLE IF NOT EXISTS snapshots (name TEXT PRIMARY KEY, created_at REAL NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS flags (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class SqliteRegistry:
    """See `domain.ports.Registry`. A sandbox is one JSON document: it is read whole, once, at start."""

    def __init__(self, path: str) -> None:
        """Raises sqlite3.DatabaseError for a file that is no registry."""
        self._lock = threading.Lock()
        self._gathered: list[_Statement] = []
        self._committing: asyncio.Task[None] | None = None
        self._connection = open_file(Path(path), _SCHEMA, _VERSION, _PRAGMAS, patience_s=5.0, isolation_level=None)

    async def put(self, sandbox: Sandbox) -> None:
        """See `Registry.put`."""
        row = (sandbox.name, sandbox.created_at, document(dataclasses.replace(sandbox, node="")))
        await self._write("INSERT OR REPLACE INTO sandboxes VALUES (?, ?, ?)", row)

    async def get(self, name: str) -> Sandbox | None:
        """See `Registry.get`."""
        rows = await threads.run(self._execute, "SELECT document FROM sandboxes WHERE name = ?", (name,))
        return sandbox_of(rows[0][0]) if rows else None

    async def all(self) -> list[Sandbox]:
        """See `Registry.all`."""
        query = "SELECT document FROM sandboxes ORDER BY created_at DESC, name DESC"
        return [sandbox_of(text) for (text,) in await threads.run(self._execute, query)]

    async def forget(self, names: Iterable[str]) -> None:
        """See `Registry.forget`."""
        await asyncio.gather(*(self._write("DELETE FROM sandboxes WHERE name = ?", (name,)) for name in names))

    async def remember_request(self, owner: str, request_id: str, digest: str, sandbox: str, at: float) -> None:
        """See `Registry.remember_request`."""
        row = (owner, request_id, digest, sandbox, at)
        await asyncio.gather(
            self._write("DELETE FROM requests WHERE at < ?", (at - REQUEST_SECONDS,)),
            self._write("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)", row),
        )

    async def request(self, owner: str, request_id: str) -> tuple[str, str] | None:
        """See `Registry.request`."""
        query = "SELECT digest, sandbox FROM requests WHERE owner = ? AND request_id = ?"
        rows = await threads.run(self._execute, query, (owner, request_id))
        return (rows[0][0], rows[0][1]) if rows else None

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """See `Registry.put_snapshot`."""
        row = (snapshot.name, snapshot.created_at, plain(snapshot))
        await self._write("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", row)

    async def snapshots(self) -> list[Snapshot]:
        """See `Registry.snapshots`."""
        query = "SELECT document FROM snapshots ORDER BY created_at DESC, name DESC"
        return [snapshot_of(text) for (text,) in await threads.run(self._execute, query)]

    async def forget_snapshot(self, name: str) -> None:
        """See `Registry.forget_snapshot`."""
        await self._write("DELETE FROM snapshots WHERE name = ?", (name,))

    async def flag(self, name: str) -> bool:
        """See `Registry.flag`."""
        rows = await threads.run(self._execute, "SELECT value FROM flags WHERE name = ?", (name,))
        return bool(rows and rows[0][0])

    async def set_flag(self, name: str, value: bool) -> None:
        """See `Registry.set_flag`."""
        await self._write("INSERT OR REPLACE INTO flags VALUES (?, ?)", (name, int(value)))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _execute(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    async def _write(self, query: str, parameters: tuple[Any, ...]) -> None:
        """Durable on return. What gathers while one commit is under way goes into the next one, all together."""
        statement = _Statement(query, parameters, asyncio.get_running_loop().create_future())
        self._gathered.append(statement)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_gathered())
        await statement.durable

    async def _commit_gathered(self) -> None:
        """One thread for all of them: one for each would have them wait for each other, and for the event loop."""
        while self._gathered:
            batch, self._gathered = self._gathered, []
            failure = await threads.run(self._commit, batch)
            for statement in batch:
                statement.settle(failure)

    def _commit(self, batch: "list[_Statement]") -> Exception | None:
        try:
            with self._lock, self._connection:
                self._connection.execute("BEGIN")
                for statement in batch:
                    self._connection.execute(statement.query, statement.parameters)
        except Exception as error:
            return error
        return None


@dataclasses.dataclass(slots=True)
class _Statement:
    """A change on its way to the file."""

    query: str
    parameters: tuple[Any, ...]
    durable: "asyncio.Future[None]"

    def settle(self, failure: Exception | None) -> None:
        """Tell who waits, unless that one went away."""
        if self.durable.done():
            return
        if failure is None:
            self.durable.set_result(None)
        else:
            self.durable.set_exception(failure)
