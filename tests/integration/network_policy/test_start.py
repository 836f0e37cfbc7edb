"""What the process says of settings and files that nobody can serve: one line, status 2, nothing lost."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support import memory
from support.policy_service import PolicyService, refusal


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sp-", dir=memory.place()) as name:
        yield Path(name)


def test_a_corrupt_policy_file_names_file_line_and_mend_and_touches_nothing(directory: Path) -> None:
    store = directory / "s" / "policy" / "policies.sqlite"
    running = PolicyService(directory)
    running.start()
    running.stop()
    before = store.read_bytes()
    file = directory / "mine.yaml"
    file.write_text("policies:\n  default:\n    allowed_domains: ['*.com']\n")
    line = refusal(PolicyService(directory, policy_file=str(file)))
    assert f"{file}, line 3" in line
    assert "name the sites" in line
    assert store.read_bytes() == before


def test_a_missing_policy_file(directory: Path) -> None:
    assert "cannot be read" in refusal(PolicyService(directory, policy_file="/nowhere/policies.yaml"))


def test_a_store_that_is_no_database(directory: Path) -> None:
    store = directory / "s" / "policy" / "policies.sqlite"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"not a database" * 100)
    assert "restore it from a backup" in refusal(PolicyService(directory))
    assert store.read_bytes() == b"not a database" * 100


def test_a_store_of_a_newer_version_is_left_untouched(directory: Path) -> None:
    running = PolicyService(directory)
    running.start()
    running.stop()
    store = directory / "s" / "policy" / "policies.sqlite"
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = store.read_bytes()
    assert "policies.sqlite has schema version 99 and this program knows 1: run the newer program" in refusal(
        PolicyService(directory)
    )
    assert store.read_bytes() == before


def test_a_journal_that_is_damaged(directory: Path) -> None:
    running = PolicyService(directory)
    running.start()
    running.stop()
    segment = next((directory / "s/audit/journals/policy-0").glob("*.seg"))
    damaged = b"damaged" + segment.read_bytes()[7:]
    segment.write_bytes(damaged)
    assert str(segment) in refusal(PolicyService(directory))
    assert segment.read_bytes() == damaged


def test_a_journal_that_cannot_be_made(directory: Path) -> None:
    (directory / "s").mkdir()
    (directory / "s/audit").write_text("no directory")
    assert "cannot use the journal" in refusal(PolicyService(directory))


def test_a_file_without_default_is_refused(directory: Path) -> None:
    file = directory / "mine.yaml"
    file.write_text("policies: {}\n")
    assert "default" in refusal(PolicyService(directory, policy_file=str(file)))
