"""A daemon for each test, in a directory short enough for its sockets."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stockade_audit.daemon.adapters.postgres_schema import SCHEMA

from support import memory
from support.auditd import Auditd
from support.postgres import PostgresServer


@pytest.fixture
def base() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="aud-", dir=memory.place()))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def auditd(base: Path) -> Iterator[Auditd]:
    daemon = Auditd(base).start()
    yield daemon
    if daemon.process is not None and daemon.process.poll() is None:
        daemon.stop()


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """A database with the audit daemon's tables."""
    with postgres.database() as url:
        SCHEMA.migrate(url)
        yield url
