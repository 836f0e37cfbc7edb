"""What is personal lies in a leaf sealed; with its key it comes back, without one it says nothing."""

import base64
import json
import time
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_audit import Action, Entry
from stockade_audit.entry import EntryClass, class_of, encode_leaf, leaf_fields
from stockade_audit.keystore_memory import MemoryKeyStore
from stockade_audit.pseudonyms import pseudonyms
from stockade_audit.sealing import KeyNotHeld, Opener, Sealer, subjects_of

TEXT = st.text(min_size=1, max_size=40)


def sealed(keys: MemoryKeyStore, **fields: Any) -> bytes:
    entry, sealer = Entry(**{"action": Action.ALLOWED, **fields}), Sealer(keys, "svc-0", "svc")
    sealer.obtain([entry])
    return sealer.leaves([entry])[0]


@pytest.mark.parametrize(
    ("fields", "subjects"),
    [
        ({"agent": "a", "principal": "a", "principal_kind": "agent"}, ("a", "")),
        ({"agent": "a", "principal": "ada", "principal_kind": "operator"}, ("a", "ada")),
        ({"agent": "a", "principal": "policy", "principal_kind": "service"}, ("a", "")),
        ({"agent": "a"}, ("a", "")),
        ({"principal": "eve", "principal_kind": "auditor"}, ("eve", "")),
        ({"principal": "policy", "principal_kind": "service"}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_whom_an_entry_is_about(fields: dict[str, str], subjects: tuple[str, str]) -> None:
    assert subjects_of(fields) == subjects


@given(agent=TEXT, principal=TEXT, resource=TEXT, path=TEXT, key=TEXT, value=TEXT)
def test_opened_it_is_the_entry_that_was_written(
    agent: str, principal: str, resource: str, path: str, key: str, value: str
) -> None:
    personal = {"agent": agent, "principal": principal, "resource": resource, "path": path, "metadata": {key: value}}
    entry, keys = Entry(action=Action.ALLOWED, principal_kind="operator", **personal), MemoryKeyStore()
    sealer = Sealer(keys, "svc-0", "svc")
    sealer.obtain([entry])
    opened = Opener(keys).open(sealer.leaves([entry])[0])
    assert opened.fields == json.loads(encode_leaf(leaf_fields(entry, "svc")))
    assert (opened.erased, opened.key_missing) == (False, False)


AWKWARD = st.sampled_from(
    [
        "",
        "/v1/x?token=abc",
        "Bearer abcdef123456",
        "monkey",
        "x" * 1030,
        "a\nb",
        "\u202e",
        "猫",
        "lone \ud800",
        "k" * 65,
    ]
)
VALUES = AWKWARD | st.integers() | st.booleans() | st.none() | st.floats() | st.just([1, "\n,"])


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": AWKWARD | st.uuids().map(str), "status": AWKWARD | st.sampled_from([200, 2**70])},
            optional={
                "path": AWKWARD,
                "reason": AWKWARD,
                "trace_id": AWKWARD,
                "metadata": st.dictionaries(AWKWARD | st.just("password"), VALUES, max_size=40),
            },
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_was_found_clean_without_encoding_is_written_as_what_was_trimmed(given: list[dict[str, Any]]) -> None:
    entries = [Entry(action=Action.CLAIM, **fields) for fields in given]
    for _ in range(2):  # the second time all that is clean is known to be
        leaves = Sealer(MemoryKeyStore(), "svc-0", "svc").leaves(entries)
        assert leaves == [encode_leaf(leaf_fields(entry, "svc")) for entry in entries]
        assert all(b"\n" not in leaf for leaf in leaves)


def test_the_leaf_holds_what_is_personal_nowhere_in_the_open() -> None:
    personal = {
        "agent": "agent-1",
        "principal": "ada",
        "resource": "/home/x",
        "path": "/p/q",
        "metadata": {"k-e-y": "v-a-l"},
    }
    leaf = sealed(MemoryKeyStore(), principal_kind="operator", domain="api.example", **personal)
    assert not [word for word in (b"agent-1", b"ada", b"/home", b"/p/q", b"k-e-y", b"v-a-l") if word in leaf]
    assert json.loads(leaf)["domain"] == "api.example"


def test_what_is_shown_can_be_tied_to_the_leaf_without_a_key() -> None:
    keys = MemoryKeyStore()
    opened = Opener(keys).open(sealed(keys, agent="a-1", principal="ada", principal_kind="operator"))
    parts = json.loads(opened.leaf)["sealed"]
    assert [json.loads(opening.value) for opening in opened.openings] == [{"agent": "a-1"}, {"principal": "ada"}]
    for opening in opened.openings:
        assert sha256(opening.salt + opening.value).digest() == base64.b64decode(parts[opening.part]["hash"])


def test_the_same_entry_is_never_sealed_alike() -> None:
    keys = MemoryKeyStore()
    first, second = (json.loads(sealed(keys, id="i", time_ns=1, agent="a-1"))["sealed"][0] for _ in range(2))
    assert first["key"] == second["key"]
    assert first["hash"] != second["hash"]
    assert first["box"] != second["box"]


def test_an_erased_part_takes_nothing_else_along() -> None:
    keys = MemoryKeyStore()
    leaf = sealed(keys, agent="a-1", principal="ada", principal_kind="operator", domain="api.example")
    destroyed = {kept.number for kept in keys.kept("a-1")}
    keys.destroy(destroyed)
    opened = Opener(keys, destroyed).open(leaf)
    assert (opened.erased, opened.key_missing) == (True, False)
    assert (opened.fields.get("agent"), opened.fields["principal"]) == (None, "ada")
    assert opened.fields["domain"] == "api.example"
    assert Opener(keys).open(leaf).key_missing


def test_a_key_held_by_a_reader_is_of_no_use_once_it_was_destroyed() -> None:
    keys, destroyed = MemoryKeyStore(), set[int]()
    opener, leaf = Opener(keys, destroyed), sealed(keys, agent="a-1")
    assert opener.open(leaf).fields["agent"] == "a-1"
    destroyed.update(kept.number for kept in keys.kept())
    assert "agent" not in opener.open(leaf).fields


def test_a_writer_drops_destroyed_keys_and_says_so() -> None:
    keys, entry = MemoryKeyStore(), Entry(action=Action.ALLOWED, agent="a-1")
    sealer = Sealer(keys, "svc-0", "svc")
    sealer.obtain([entry])
    before = json.loads(sealer.leaves([entry])[0])["sealed"][0]["key"]
    keys.destroy([kept.number for kept in keys.kept()])
    assert keys.confirmed()["svc-0"] != keys.generation()
    sealer.confirm()
    assert keys.confirmed()["svc-0"] == keys.generation()
    with pytest.raises(KeyNotHeld):
        sealer.leaves([entry])[0]
    sealer.obtain([entry])
    assert json.loads(sealer.leaves([entry])[0])["sealed"][0]["key"] != before


def test_keys_are_of_a_month_and_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = MemoryKeyStore()
    sealed(keys, agent="a-1")
    sealed(keys, agent="a-1", action=Action.BLOCKED)
    sealed(keys, agent="a-1", action=Action.CLAIM)
    monkeypatch.setattr(time, "gmtime", lambda *_: time.struct_time((2031, 5, 1, 0, 0, 0, 0, 0, 0)))
    sealed(keys, agent="a-1")
    found = sorted((kept.name.entry_class, kept.name.month == "2031-05") for kept in keys.kept())
    assert found == [("claim", False), ("decision", False), ("decision", True)]


def test_every_action_has_a_class() -> None:
    assert {class_of(action) for action in Action} == set(EntryClass)


def test_a_leaf_from_before_version_2_is_opened_as_it_is() -> None:
    leaf = encode_leaf(leaf_fields(Entry(action=Action.ALLOWED, agent="a-1"), "svc"))
    opened = Opener(MemoryKeyStore()).open(leaf)
    assert (opened.fields["agent"], opened.openings, opened.erased) == ("a-1", (), False)


def test_a_damaged_box_opens_to_nothing() -> None:
    keys = MemoryKeyStore()
    members = json.loads(sealed(keys, agent="a-1"))
    members["sealed"][0]["box"] = base64.b64encode(bytes(64)).decode()
    assert "agent" not in Opener(keys).open(json.dumps(members).encode()).fields


def test_pseudonyms_tell_names_apart_and_not_who_they_are() -> None:
    name = pseudonyms(b"k" * 32)
    assert name("a-1") == pseudonyms(b"k" * 32)("a-1") != name("a-2")
    assert name("a-1") != pseudonyms(b"l" * 32)("a-1")
    assert "a-1" not in name("a-1")
