"""What a leaf holds, whatever an entry was given."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stockade_audit import Action, Entry, new_entry_id
from stockade_audit.entry import MAX_METADATA, MAX_TEXT, encode_leaf, format_time, leaf_fields, parse_time

TIME = 1_795_510_539_156_951_105


def encoded(**fields: Any) -> dict[str, Any]:
    leaf = encode_leaf(leaf_fields(Entry(**{"action": Action.ALLOWED, "time_ns": TIME, "id": "i", **fields}), "svc"))
    found: dict[str, Any] = json.loads(leaf)
    return found


def test_a_leaf_is_canonical_and_holds_what_is_set() -> None:
    entry = Entry(action=Action.BLOCKED, id="i", time_ns=TIME, agent="a", metadata={"b": 1, "a": True})
    assert encode_leaf(leaf_fields(entry, "svc")) == (
        b'{"action":"BLOCKED","agent":"a","id":"i","metadata":{"a":true,"b":1},'
        b'"service":"svc","time":"2026-11-24T08:55:39.156951105Z"}'
    )


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("line\nbreak\r\x00nul", "line\nbreak\r\x00nul"),
        ("\x1b[31mred\x1b]0;title\x07", "\x1b[31mred\x1b]0;title\x07"),
        ("\u202eright to left\u2066 \u2028 \x9b31m \ufeff", "\u202eright to left\u2066 \u2028 \x9b31m \ufeff"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("x" * 1_000_000, "x" * MAX_TEXT),
        ("snow ☃ 猫 🙂", "snow ☃ 猫 🙂"),
    ],
)
def test_any_text_is_stored_bounded_and_shows_harmlessly(given: str, stored: str) -> None:
    leaf = encode_leaf(leaf_fields(Entry(action=Action.CLAIM, resource=given), "svc"))
    assert json.loads(leaf)["resource"] == stored
    assert all(c.isprintable() for c in leaf.decode())
    assert len(leaf) < 8 * MAX_TEXT


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (2**63, 2**63),
        (-(2**63), -(2**63)),
        (2**64, str(2**64)),
        (10**400, "1" + "0" * 400),
        (None, None),
        (b"bytes", "b'bytes'"),
        ([1, 2], [1, 2]),
        ("", ""),
    ],
)
def test_metadata_takes_any_value(given: Any, stored: Any) -> None:
    assert encoded(metadata={"k": given})["metadata"] == {"k": stored}


@pytest.mark.parametrize("key", ["__proto__", "constructor", "", "a" * 64, "é", '"quoted"', "new\nline"])
def test_metadata_takes_any_key(key: str) -> None:
    assert encoded(metadata={key: "v"})["metadata"] == {key: "v"}


def test_what_is_too_long_or_too_much_is_cut_and_said() -> None:
    found = encoded(path="p" * 2000, metadata={f"k{n:02}": "v" * 5000 for n in range(100)})
    assert len(found["path"]) == MAX_TEXT
    assert len(found["metadata"]) == MAX_METADATA
    assert all(len(value) == MAX_TEXT for value in found["metadata"].values())
    assert found["truncated"][:2] == ["metadata", "metadata.k00"]
    assert "path" in found["truncated"]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.text(), json_like, max_size=40), st.text())
def test_nothing_given_makes_an_entry_that_cannot_be_read(metadata: dict[str, Any], text: str) -> None:
    leaf = encode_leaf(leaf_fields(Entry(action=Action.CLAIM, agent=text, metadata=metadata), "svc"))
    json.loads(leaf)
    assert all(c.isprintable() for c in leaf.decode())


SECRETS = [
    ("path", "/v1/x?token=abc123&b=c", "abc123"),
    ("path", "/v1/x?q=harmless", "harmless"),
    ("resource", "https://user:hunter2@host/x", "hunter2"),
    ("reason", "Authorization: Bearer abcdef1234567890", "abcdef1234567890"),
    ("reason", "basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ("reason", "got sk-ant-api03-AAAAAAAAAAAAAAAAAAAA back", "AAAAAAAAAAAAAAAAAAAA"),
    ("reason", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnop"),
    ("reason", "AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    ("reason", "xoxb-1234567890-abcdefghij", "abcdefghij"),
    ("reason", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0"),
    ("reason", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "MIIEow"),
    ("reason", "password=hunter2 and more", "hunter2"),
    ("reason", "API_KEY: s3cr3tvalue", "s3cr3tvalue"),
]


@pytest.mark.parametrize(("field", "text", "secret"), SECRETS)
def test_secrets_never_reach_the_leaf(field: str, text: str, secret: str) -> None:
    for fields in ({field: text}, {"metadata": {"note": text}}):
        found = encoded(**fields)
        assert secret not in json.dumps(found)
        assert found["redacted"] >= 1


@pytest.mark.parametrize(
    "key", ["password", "PASSWORD", "api_key", "apikey", "Authorization", "Set-Cookie", "client_secret", "access-token"]
)
def test_values_under_telling_names_are_cut_whole(key: str) -> None:
    found = encoded(metadata={key: "anything at all", "other": "kept"})
    assert found["metadata"] == {key: "[redacted]", "other": "kept"}
    assert found["redacted"] == 1


@pytest.mark.parametrize(
    "text", ["api.github.com", "/repos/a/b", "monkey business", "the keyboard", "basic auth was refused", "a ? b"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    found = encoded(resource=text)
    assert found["resource"] == text
    assert "redacted" not in found


@given(st.integers(0, 4_102_444_800_000_000_000))
def test_times_keep_their_nanoseconds(time_ns: int) -> None:
    assert parse_time(format_time(time_ns)) == time_ns


def test_ids_are_uuid7_in_order_and_unique() -> None:
    import uuid

    ids = [new_entry_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(i).version == 7 and uuid.UUID(i).variant == uuid.RFC_4122 for i in ids[:100])
    assert [i[:18] for i in ids] == sorted(i[:18] for i in ids)
