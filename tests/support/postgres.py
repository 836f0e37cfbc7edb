"""A real PostgreSQL of the tests' own, on a Unix socket, under a user who is not root; a database for each test."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from support import memory

_names = itertools.count(1)


def programs() -> Path:
    """Where the server's programs are; distributions keep them off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1].parent


@dataclass
class PostgresServer:
    """A running server: `directory` holds its data and its socket, `user` owns both.

    `prefix` is a command that starts it elsewhere, `address` where it listens beside its socket.
    """

    directory: Path
    user: str
    prefix: Sequence[str] = ()
    address: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, database: str = "postgres", user: str = "") -> str:
        """How to reach a database of it."""
        return f"postgresql:///{database}?host={self.directory}&user={user or self.user}"

    def create(self) -> None:
        """Make the data directory. Whoever reaches it is believed, but for the roles named `guarded…`."""
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", self.user, "--no-sync", "--locale=C.UTF-8")
        rules = self._data / "pg_hba.conf"
        guarded = "local all /^guarded scram-sha-256\nlocal all guarded scram-sha-256\n"
        rules.write_text(f"{guarded}{rules.read_text()}host all all samenet trust\n")

    def start(self) -> "PostgresServer":
        """Serve, again after a kill; returns when it answers."""
        options = {"listen_addresses": self.address, "unix_socket_directories": str(self.directory), "fsync": "off"}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            command = [*self.prefix, *self._switch(), str(programs() / "postgres"), "-D", str(self._data), *words]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not begin to answer"
            time.sleep(0.05)
        return self

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT cuts clients off, SIGQUIT is a crash."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(20)

    def pause(self) -> None:
        """Freeze the server and all that it has forked."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database of its own."""
        name = f"test{next(_names)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        yield self.url(name)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _signal_all(self, number: int) -> None:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            with suppress(ProcessLookupError):  # one of its workers that has just ended
                os.kill(pid, number)

    def _switch(self) -> list[str]:
        """The command that turns root into the user: PostgreSQL refuses to be root."""
        if os.geteuid():
            return []
        account = pwd.getpwnam(self.user)
        return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]

    def _run(self, program: str, *words: str | Path) -> None:
        command = [*self._switch(), str(programs() / program), *map(str, words)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def postgres_server(prefix: Sequence[str] = (), address: str = "") -> Iterator[PostgresServer]:
    """A server for as long as the block runs."""
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir=memory.place()))
    user = _user()
    if not os.geteuid():
        shutil.chown(directory, user)
    server = PostgresServer(directory, user, prefix, address)
    try:
        server.create()
        yield server.start()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's server."""
    with postgres_server() as server:
        yield server


def _user() -> str:
    """Whom the server runs as: it refuses to be root."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    return next(user for user in ("postgres", "nobody") if _exists(user))


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
