"""PostgreSQL as services reach it: one connection, made again when it is lost, on which nobody waits for ever."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Timer
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stockade_rpckit.migrations import Connection, Schema, SchemaUnfit

# A server that is gone is noticed within seconds, and nobody who stands still holds what others wait for.
_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": 2,
    "target_session_attrs": "read-write",
    "options": "-c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s"
    " -c synchronous_commit=on",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
_MENDS: Final = {
    "password": "put its role's password into the file that ?passfile= names, of mode 0600",
    "read-only": "name the primary, several hosts to choose it from, or a database that may be written",
    "does not exist": "create the database or the role, or name another",
    "permission denied": "grant the role what the documentation lists",
}


_FORM: Final = "not a URL of PostgreSQL: write postgresql://role@host/database?passfile=/path"


class UrlRefused(ValueError):
    """What was given is no URL of PostgreSQL, or holds what must not be in one; the message names the mend."""


def is_url(text: str) -> bool:
    """Whether a setting names a PostgreSQL."""
    return text.startswith(("postgresql:", "postgres:"))


def check_url(url: str) -> None:
    """Raise UrlRefused for what is no URL of PostgreSQL, or says a password where process lists and logs show it."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose text may hold the URL, and with it a password
        raise UrlRefused(_FORM) from None
    if not is_url(url):
        raise UrlRefused(_FORM)
    if given.get("password"):
        raise UrlRefused(
            "the URL of PostgreSQL holds a password: put it into a file and add ?passfile=/path to the URL"
        )


def conninfo(url: str, program: str) -> str:
    """How `program` connects to a URL: with our timeouts, to a server that takes writes."""
    return make_conninfo(url, application_name=program, **_OPTIONS)


def line(error: psycopg.Error) -> str:
    """What the server or the driver said, in one line with its mend."""
    said = " ".join(str(error).split())[:300] or type(error).__name__
    mend = next((mend for words, mend in _MENDS.items() if words in said), "")
    return f"PostgreSQL: {said}{mend and f'; {mend}'}"


class Database:
    """One connection under a lock. `unavailable` makes the exception for a server that cannot be used.

    Args:
        url: postgresql://…, without a password.
        schema: the tables that have to be there.
        unavailable: makes the exception of what is wrong, in one line.
        answer_s: how long a transaction may take, and the wait for the one before it; then the connection is cut.

    Raises UrlRefused. Nothing is connected until it is used.
    """

    def __init__(
        self, url: str, schema: Schema, unavailable: Callable[[str], Exception], answer_s: float = 30.0
    ) -> None:
        check_url(url)
        self._url, self._schema, self._unavailable, self._answer_s = url, schema, unavailable, answer_s
        self._lock = Lock()
        self._connection: Connection | None = None
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed at the block's end, taken back when it raises. psycopg's errors are translated."""
        if not self._lock.acquire(timeout=self._answer_s):
            raise self._unavailable("PostgreSQL has not answered those who came before")
        try:
            with self._within_time(), self._connected().transaction():
                assert self._connection is not None
                yield self._connection
        except SchemaUnfit as error:
            self._drop()
            raise self._unavailable(f"PostgreSQL: {error}") from error
        except psycopg.Error as error:
            self._drop()
            raise self._unavailable(line(error)) from error
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let go of the server, at once: whoever waits for its answer is woken."""
        self._closed = True
        self._cut()

    def _connected(self) -> Connection:
        if self._closed:
            raise self._unavailable("the service is ending")
        if self._connection is None:
            program = self._schema.name.replace("_", "-")
            self._connection = psycopg.connect(conninfo(self._url, program), autocommit=True)
            self._schema.check(self._connection)
        return self._connection

    @contextmanager
    def _within_time(self) -> Iterator[None]:
        """Cuts the connection where the block takes too long: a server that is frozen answers no timeout of its own."""
        timer = Timer(self._answer_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        connection = self._connection
        if connection is not None and not connection.closed:
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
