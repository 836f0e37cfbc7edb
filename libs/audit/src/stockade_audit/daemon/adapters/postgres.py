"""PostgreSQL as the daemon's adapters reach it: one connection, made again when it is lost."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stockade_audit.daemon.adapters.postgres_schema import NEWEST, version
from stockade_audit.errors import AuditError

Connection = psycopg.Connection[tuple[Any, ...]]

# A server that is gone is noticed within seconds, and no statement of ours takes long.
_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": 2,
    "application_name": "stockade-auditd",
    "options": "-c statement_timeout=30s -c lock_timeout=5s -c synchronous_commit=on",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}


def check_url(url: str) -> None:
    """Raise AuditError for what is no URL of PostgreSQL, or says a password where process lists and logs show it."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise AuditError(f"not a URL of PostgreSQL: {error}") from None
    if given.get("password"):
        raise AuditError(
            "the URL of PostgreSQL holds a password: put it into a file and add ?passfile=/path to the URL"
        )


class Database:
    """One connection under a lock. `unavailable` makes the exception for a server that cannot be used."""

    def __init__(self, url: str, unavailable: Callable[[str], AuditError]) -> None:
        check_url(url)
        self._url, self._unavailable = url, unavailable
        self._lock = Lock()
        self._connection: Connection | None = None
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed at the block's end, taken back when it raises. psycopg's errors are translated."""
        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction():
                    yield connection
            except psycopg.Error as error:
                self._drop()
                raise self._unavailable(_line(error)) from error

    def close(self) -> None:
        """Let go of the server, at once: whoever waits for its answer is woken."""
        self._closed = True
        connection = self._connection
        if connection is not None and not connection.closed:
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> Connection:
        if self._closed:
            raise self._unavailable("the daemon is ending")
        if self._connection is None:
            self._connection = psycopg.connect(make_conninfo(self._url, **_OPTIONS), autocommit=True)
            found = version(self._connection)
            if found != NEWEST:
                self._drop()
                raise self._unavailable(f"its schema is version {found}, not {NEWEST}: run `stockade-auditd migrate`")
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _line(error: psycopg.Error) -> str:
    """What the server said, in one line."""
    return f"PostgreSQL: {' '.join(str(error).split())[:300] or type(error).__name__}"
