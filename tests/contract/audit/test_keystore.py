"""Every key store gives each name one key, forgets for good, and counts how often it has."""

import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stockade_audit.keystore import KEY_BYTES, KeyName, KeyStore, KeysUnavailable
from stockade_audit.keystore_memory import MemoryKeyStore
from stockade_audit.keystore_sqlite import FILE, SqliteKeyStore

Make = Callable[[], KeyStore]
ADA, BOB = KeyName("ada", "decision", "2026-11"), KeyName("bob", "decision", "2026-11")


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the same store again each time."""
    if request.param == "sqlite":
        return lambda: SqliteKeyStore(tmp_path / "keys")
    store = MemoryKeyStore()
    return lambda: store


def test_a_name_has_one_key_from_its_first_use_on(make: Make) -> None:
    first = make().obtain([ADA, BOB])
    again = make().obtain([BOB, ADA, KeyName("ada", "claim", "2026-11")])
    assert {name: again[name] for name in (ADA, BOB)} == first
    assert len({key.number for key in again.values()}) == len({key.secret for key in again.values()}) == 3
    assert all(len(key.secret) == KEY_BYTES for key in again.values())
    assert make().find([key.number for key in first.values()]) == {key.number: key.secret for key in first.values()}


def test_what_is_kept_is_told_without_secrets(make: Make) -> None:
    store = make()
    store.obtain([BOB, ADA, KeyName("ada", "claim", "2026-10")])
    assert [kept.name for kept in store.kept()] == [KeyName("ada", "claim", "2026-10"), ADA, BOB]
    assert [kept.name for kept in store.kept("bob")] == [BOB]
    assert sorted(store.subjects()) == ["ada", "bob"]


def test_what_is_destroyed_does_not_come_back(make: Make) -> None:
    store = make()
    keys = store.obtain([ADA, BOB])
    before = store.generation()
    assert store.destroy([keys[ADA].number, 4711]) == 1
    assert store.generation() == before + 1
    assert store.destroy([keys[ADA].number]) == 0
    assert make().generation() == before + 1
    assert make().find([keys[ADA].number, keys[BOB].number]) == {keys[BOB].number: keys[BOB].secret}
    assert make().obtain([ADA])[ADA] != keys[ADA]


def test_slots_confirm_what_they_have_dropped(make: Make) -> None:
    store = make()
    assert store.confirmed() == {}
    store.confirm("one-0", 3)
    store.confirm("two-0", 1)
    store.confirm("one-0", 4)
    assert make().confirmed() == {"one-0": 4, "two-0": 1}


def test_pseudonyms_are_of_one_key(make: Make) -> None:
    assert make().pseudonym_key() == make().pseudonym_key()
    assert len(make().pseudonym_key()) == KEY_BYTES


def test_the_file_is_its_groups_and_nobody_elses(tmp_path: Path) -> None:
    SqliteKeyStore(tmp_path / "keys").close()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys", tmp_path / "keys" / FILE)]
    assert modes == [0o2770, 0o660]


def test_a_destroyed_key_is_in_no_file(tmp_path: Path) -> None:
    store = SqliteKeyStore(tmp_path / "keys")
    keys = store.obtain([KeyName(f"subject-{n:03d}", "claim", "2026-11") for n in range(500)])
    gone = [key for name, key in keys.items() if name.subject.endswith("7")]
    store.destroy([key.number for key in gone])
    data = b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())
    assert not [key for key in gone if key.secret in data]
    assert b"subject-017" not in data
    assert b"subject-018" in data
    store.close()


def test_processes_that_meet_agree_on_every_key(tmp_path: Path) -> None:
    names = [KeyName(f"s-{n}", "claim", "2026-11") for n in range(60)]

    meet = threading.Barrier(4)

    def obtain(order: int) -> dict[KeyName, object]:
        meet.wait()
        store = SqliteKeyStore(tmp_path / "keys")
        got: dict[KeyName, object] = {}
        for name in names[::order]:
            got |= store.obtain([name])
        store.close()
        return got

    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(obtain, (1, -1, 1, -1))
    assert len(first) == len(names)
    assert all(got == first for got in others)


@pytest.mark.parametrize("harm", ["gone", "no database", "a directory"])
def test_a_store_that_cannot_be_used_says_so(tmp_path: Path, harm: str) -> None:
    store = SqliteKeyStore(tmp_path / "keys")
    store.obtain([ADA])
    path = tmp_path / "keys" / FILE
    path.rename(tmp_path / "aside")
    if harm == "no database":
        path.write_bytes(os.urandom(8192))
    elif harm == "a directory":
        path.mkdir()
    with pytest.raises(KeysUnavailable, match="key store"):
        store.obtain([BOB])
    if path.is_dir():
        path.rmdir()
    (tmp_path / "aside").rename(path)
    assert store.obtain([BOB])


def test_a_restored_file_is_opened_anew(tmp_path: Path) -> None:
    store = SqliteKeyStore(tmp_path / "keys")
    before = store.obtain([ADA])
    with sqlite3.connect(tmp_path / "keys" / FILE) as found, sqlite3.connect(tmp_path / "copy") as copy:
        found.backup(copy)
    copy.close()
    store.destroy([before[ADA].number])
    (tmp_path / "copy").rename(tmp_path / "keys" / FILE)
    assert store.obtain([ADA]) == before
    store.close()
