"""Every SQLite file that Stockade keeps has a version; one of a newer program is left as it is."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from stockade_audit.daemon.adapters.heads_sqlite import SqliteHeads
from stockade_audit.daemon.adapters.holds_sqlite import SqliteHolds
from stockade_audit.daemon.adapters.ledger_sqlite import SqliteLedger
from stockade_audit.daemon.adapters.spans_sqlite import SqliteSpans
from stockade_audit.keystore_sqlite import FILE as KEYS_FILE
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_embedding_cache.adapters.sqlite.database import Database
from stockade_network_policy.adapters.messages_sqlite import SqliteMessageLimits
from stockade_network_policy.adapters.policies_sqlite import SqlitePolicies
from stockade_sandbox.adapters.registry_sqlite import SqliteRegistry

OPEN: dict[str, Callable[[Path], object]] = {
    "policies": SqlitePolicies,
    "message limits": SqliteMessageLimits,
    "registry": lambda path: SqliteRegistry(str(path)),
    "vectors": lambda path: Database(path, lambda _: None),
    "heads": SqliteHeads,
    "holds": SqliteHolds,
    "ledger": SqliteLedger,
    "spans": SqliteSpans,
    "keys": lambda path: SqliteKeyStore(path.parent),
}
every_file = pytest.mark.parametrize("open_", OPEN.values(), ids=OPEN)


def begin(open_: Callable[[Path], object], directory: Path) -> Path:
    """A file as this version makes it."""
    path = directory / KEYS_FILE
    open_(path).close()  # type: ignore[attr-defined]
    return path


def version(path: Path, number: int | None = None) -> int:
    """The file's version, set before if wanted."""
    connection = sqlite3.connect(path)
    if number is not None:
        connection.execute(f"PRAGMA user_version = {number}")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(found)


@every_file
def test_a_newer_file_is_refused_with_its_mend_and_left_untouched(
    open_: Callable[[Path], object], tmp_path: Path
) -> None:
    path = begin(open_, tmp_path)
    known = version(path)
    version(path, known + 1)
    before = path.read_bytes()
    mend = f"schema version {known + 1} and this program knows {known}: run the newer program"
    with pytest.raises(Exception, match=mend) as refusal:
        open_(path)
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == before


@every_file
def test_a_file_from_before_there_were_versions_is_taken_over(open_: Callable[[Path], object], tmp_path: Path) -> None:
    path = begin(open_, tmp_path)
    known = version(path)
    version(path, 0)
    begin(open_, tmp_path)
    assert version(path) == known
