"""The file, and the threads that own its connections."""

import asyncio
import fcntl
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import IO, Any, TypeVar

from stockade_audit.sqlite_schema import prepare

from stockade_embedding_cache.adapters.breaker import Breaker

T = TypeVar("T")

READERS = 2
VERSION = 1


class StoreLocked(OSError):
    """Another process has the file open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is in use by another embedding-cache process: stop it, or set another state_dir")


class StoreDamaged(OSError):
    """The file is no database that this version reads."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(f"{path} is not a usable cache ({why}): move it away, the cache starts empty")


class Database:
    """One writer, a few readers, each a thread with a connection of its own.

    `committed` is called with the writer's connection after each commit.

    Raises:
        StoreLocked, StoreDamaged: when the file cannot be used.
    """

    def __init__(self, path: Path, committed: Callable[[sqlite3.Connection], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._lock, self._local = path, _lock(path), threading.local()
        self._committed = committed
        self.breaker = Breaker("sqlite", (sqlite3.DatabaseError,))
        try:
            self._connections = [_create(path)]
            committed(self._connections[0])
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise StoreDamaged(path, error) from error
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="cache-writer", initializer=self._open)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cache-reader", initializer=self._open)

    async def read(self, work: Callable[..., T], *args: Any) -> T:
        """What `work(db, *args)` finds in one snapshot. Raises sqlite3.DatabaseError."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._within, work, *args)

    async def write(self, work: Callable[..., T], *args: Any) -> T:
        """Run `work(db, *args)` in a transaction, to its end even if the caller is cancelled.

        Raises StoreUnavailable when the file cannot be written.
        """
        future = asyncio.get_running_loop().run_in_executor(self._writer, self._transact, work, *args)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Finish what is under way and let go of the file."""
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        self._lock.close()

    # What follows runs on the threads.

    def _open(self) -> None:
        self._local.db = _connect(self._path)
        self._connections.append(self._local.db)

    def _within(self, work: Callable[..., T], *args: Any) -> T:
        db: sqlite3.Connection = self._local.db
        db.execute("BEGIN")
        try:
            return work(db, *args)
        finally:
            db.execute("ROLLBACK")

    def _transact(self, work: Callable[..., T], *args: Any) -> T:
        result = self.breaker.call(lambda: _transact(self._local.db, work, *args))
        self._committed(self._local.db)
        return result


def _transact(db: sqlite3.Connection, work: Callable[..., T], *args: Any) -> T:
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db, *args)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has ended it by itself
            db.execute("ROLLBACK")
        raise
    return result


def _lock(path: Path) -> IO[bytes]:
    file = path.with_suffix(".lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreLocked(path) from error
    return file


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _create(path: Path) -> sqlite3.Connection:
    db = _connect(path)
    db.execute("PRAGMA page_size = 16384")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    prepare(db, resources.files(__package__).joinpath("schema.sql").read_text(), VERSION)
    db.execute("PRAGMA journal_mode = WAL")
    return db
