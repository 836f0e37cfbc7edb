"""A journal whose entries are sealed: nothing is written that cannot be, and what an earlier version wrote goes on."""

import asyncio
import os
import time
from pathlib import Path

import orjson
import pytest
from stockade_audit import Action, Entry, Journal, JournalDamaged, RecordUnavailable
from stockade_audit.checkpoint import Checkpoint, sign_note
from stockade_audit.entry import encode_leaf, leaf_fields
from stockade_audit.keys import SigningKey
from stockade_audit.keystore_sqlite import FILE, SqliteKeyStore
from stockade_audit.reader import read_header
from stockade_audit.rotation import finish_rotation, key_name
from stockade_audit.segment import HEADER_MAGIC, encode_commit, frame, segment_path
from stockade_audit.tree import Frontier, leaf_hash
from stockade_audit.verification import verify_record

from support.journals import SLOT, entry, leaves, open_journal, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "journals"


async def until_available(journal: Journal) -> None:
    deadline = time.monotonic() + 5
    while journal.unavailable:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_without_a_key_store_nothing_is_written_and_it_goes_on_by_itself(root: Path) -> None:
    journal, store = open_journal(root), root.with_name("keys") / FILE
    await journal.append(entry(agent="a-1"))
    aside = store.rename(store.with_name("aside"))
    await asyncio.sleep(0.2)  # until the store is looked at again
    with pytest.raises(RecordUnavailable, match="key store"):
        await journal.append(entry(agent="a-2"))
    with pytest.raises(RecordUnavailable):
        await journal.append(entry(agent="a-1"))
    segments = len(list((root / SLOT).glob("*.seg")))
    await asyncio.sleep(0.5)
    assert len(list((root / SLOT).glob("*.seg"))) == segments  # refusing costs no space
    aside.rename(store)
    await until_available(journal)
    await journal.append(entry(agent="a-2"))
    journal.close()
    found = leaves(root / SLOT)
    assert [leaf.get("agent") for leaf in found if leaf["action"] == "ALLOWED"] == ["a-1", "a-2"]
    assert [leaf["metadata"]["refused"] for leaf in found if leaf["action"] == "GAP"] == [2]


async def test_a_key_is_durable_before_its_first_entry(root: Path) -> None:
    journal = open_journal(root)
    for number in range(20):
        await journal.append(entry(agent=f"a-{number}"))
        keys = SqliteKeyStore(root.with_name("keys"))
        assert [kept.name.subject for kept in keys.kept(f"a-{number}")] == [f"a-{number}"]
        keys.close()
    journal.close()


async def test_destroyed_keys_are_dropped_by_a_journal_that_is_idle(root: Path) -> None:
    journal = open_journal(root)
    await journal.append(entry(agent="a-1"))
    keys = SqliteKeyStore(root.with_name("keys"))
    keys.destroy([kept.number for kept in keys.kept()])
    deadline = time.monotonic() + 5
    while keys.confirmed()[SLOT] != keys.generation():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    keys.close()
    journal.close()


async def test_an_intent_whose_subject_was_erased_is_closed_without_it(root: Path) -> None:
    journal = open_journal(root)
    await journal.append(Entry(action=Action.INTENT, id="i-1", agent="a-1", domain="api.example"))
    journal.close()
    keys = SqliteKeyStore(root.with_name("keys"))
    keys.destroy([kept.number for kept in keys.kept()])
    keys.close()
    journal = open_journal(root)
    await journal.append(entry(agent="a-2"))
    journal.close()
    (closed,) = [leaf for leaf in leaves(root / SLOT) if leaf["action"] == "OUTCOME_UNKNOWN"]
    assert (closed["intent_id"], closed["domain"], closed.get("agent")) == ("i-1", "api.example", None)


def write_version_1(root: Path) -> None:
    """What the version before left: a header that names none, and entries in the open."""
    directory, frontier = root / SLOT, Frontier()
    directory.mkdir(parents=True)
    key = SigningKey.load_or_create(directory / "signing.key", key_name(SLOT))
    found = [encode_leaf(leaf_fields(entry(n, id=f"old-{n}"), "test")) for n in range(5)]
    for leaf in found:
        frontier.append(leaf_hash(leaf))
    members = {"slot": SLOT, "number": 0, "first": 0, "edge": [], "previous_end": 0, "open_intents": {}}
    note = sign_note(Checkpoint(key.verifier.name, 5, frontier.root()).text, key)
    data = frame(HEADER_MAGIC, orjson.dumps(members)) + encode_commit(found, note)
    segment_path(directory, 0).write_bytes(data + bytes(4096))


async def test_a_journal_of_version_1_is_read_verified_and_continued_in_a_new_segment(root: Path) -> None:
    write_version_1(root)
    journal = open_journal(root)
    await journal.append(entry(agent="new"))
    assert await journal.append(entry(id="old-3", agent="other")) == 3  # known from before
    journal.close()
    assert [leaf["agent"] for leaf in leaves(root / SLOT)] == [*(f"agent-{n % 3}" for n in range(5)), "new"]
    headers = [read_header(segment_path(root / SLOT, number)) for number in (0, 1)]
    assert [begun[0].version for begun in headers if begun] == [1, 2]
    assert [report.verdict for report in verify_record(root, [], lambda _: None)] == ["INTACT"]


def test_a_segment_of_a_later_version_is_left_alone(root: Path) -> None:
    write(root, [3])
    path = segment_path(root / SLOT, 0)
    members = {"version": 3, "slot": SLOT}
    path.write_bytes(frame(HEADER_MAGIC, orjson.dumps(members)) + os.urandom(512))
    with pytest.raises(JournalDamaged, match="later version"):
        open_journal(root)


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_crash_while_a_key_is_replaced_leaves_the_one_that_signs(root: Path, is_begun: bool) -> None:
    directory = write(root, [3])
    following = SigningKey.create(directory / "signing.key.next", key_name(SLOT))
    old = SigningKey.load(directory / "signing.key", key_name(SLOT))
    if is_begun:
        path = segment_path(directory, 0)
        members = {"slot": SLOT, "number": 1, "rotation": old.hand_over(following.verifier), "edge": []}
        path.with_name("00000001.seg").write_bytes(frame(HEADER_MAGIC, orjson.dumps(members)))
    finish_rotation(directory)
    assert not (directory / "signing.key.next").exists()
    signing = SigningKey.load(directory / "signing.key", key_name(SLOT)).verifier
    assert signing == (following.verifier if is_begun else old.verifier)
