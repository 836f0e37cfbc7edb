"""A daemon for each test, in a directory short enough for its sockets."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import memory
from support.auditd import Auditd


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
