"""Copies that cannot be verified: CSV that opens anywhere, OCSF events that keep to their schema and lead back."""

import csv
import functools
import importlib.resources
import io
import json
from typing import Any

import jsonschema
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded
from stockade_audit import Action, Entry
from stockade_audit.daemon.ocsf import VERSION, ocsf_event
from stockade_audit.daemon.tables import COLUMNS, NOTE, csv_lines
from stockade_audit.keystore_memory import MemoryKeyStore
from stockade_audit.sealing import Opened, Opener, Sealer

KEYS = MemoryKeyStore()


def entry(**fields: Any) -> Opened:
    """An entry as it is written and opened again."""
    made, sealer = Entry(**{"action": Action.CALLED, **fields}), Sealer(KEYS, "svc-0", "svc")
    sealer.obtain([made])
    return Opener(KEYS).open(sealer.leaves([made])[0])


FULL = {
    "principal_kind": "agent", "principal": "a-1", "agent": "a-1", "agent_type": "t", "sandbox": "sb-1", "rule": "r",
    "reason": "WHY", "method": "GET", "path": "/x", "status": 200, "bytes_sent": 5, "bytes_received": 6,
    "duration_us": 7000, "trace_id": "0" * 32, "intent_id": "i", "metadata": {"k": 1},
}  # fmt: skip


@functools.cache
def published() -> OcsfJsonSchemaEmbedded:
    """The published schemas."""
    files = importlib.resources.files("ocsf_json_schema") / "ocsf" / f"{VERSION}.json"
    return OcsfJsonSchemaEmbedded(json.loads(files.read_text()))


@functools.cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> Any:
    """Of the schema of an event class."""
    found = published().get_class_schema(published().lookup_class_name_from_uid(class_uid), list(profiles))
    return jsonschema.validators.validator_for(found)(found)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("fields", [{}, {"domain": "api.example"}, FULL, {**FULL, "domain": "api.example"}])
def test_every_entry_is_a_valid_ocsf_event_and_comes_back(action: Action, fields: dict[str, Any]) -> None:
    written = entry(action=action, **fields)
    event = json.loads(ocsf_event("one-0", 17, written))
    validator(event["class_uid"], tuple(event["metadata"]["profiles"])).validate(event)
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["raw_data"].encode() == written.leaf
    plain = {name: value for name, value in json.loads(event["raw_data"]).items() if name != "sealed"}
    assert {**plain, **event["unmapped"].get("personal", {})} == written.fields
    assert (event["metadata"]["log_name"], event["metadata"]["sequence"]) == ("one-0", 17)
    assert "cannot be verified" in event["metadata"]["labels"][0]


@pytest.mark.parametrize(
    ("action", "class_uid", "decided"),
    [
        (Action.ALLOWED, 4001, (1, 1)),
        (Action.BLOCKED, 4001, (2, 2)),
        (Action.RATE_LIMITED, 4001, (2, 25)),
        (Action.ALERT, 4001, (None, None)),
    ],
)
def test_a_decision_about_a_host_is_network_activity(action: Action, class_uid: int, decided: tuple[Any, Any]) -> None:
    event = json.loads(ocsf_event("one-0", 0, entry(action=action, domain="api.example", agent="a-1", rule="r")))
    assert event["class_uid"] == class_uid
    assert (event.get("action_id"), event.get("disposition_id")) == decided
    assert event["dst_endpoint"]["hostname"] == "api.example"
    assert event["src_endpoint"]["name"] == "a-1"


def rows(*entries: Opened) -> list[dict[str, str]]:
    data = b"".join(csv_lines(("one-0", n, one) for n, one in enumerate(entries))).decode()
    return list(csv.DictReader(io.StringIO(data, newline="")))


def test_a_table_has_every_field_of_an_entry() -> None:
    (row,) = rows(entry(id="i-1", action=Action.BLOCKED, domain="api.example", **FULL))
    assert set(row) == {*COLUMNS, NOTE}
    assert row["metadata"] == '{"k":1}'
    expected = {"journal": "one-0", "position": "0", "id": "i-1", "action": "BLOCKED", "domain": "api.example"}
    assert expected.items() <= row.items()
    assert {name: str(FULL[name]) for name in FULL if name != "metadata"}.items() <= row.items()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("@x", "'@x"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ('a "quoted", cell', 'a "quoted", cell'),
        ("two\r\nlines", "two\\r\\nlines"),
        ("\x1b[31m\u202e", "\\x1b[31m\\u202e"),
    ],
)
def test_no_cell_is_a_formula_or_a_command(text: str, shown: str) -> None:
    (row,) = rows(entry(resource=text))
    assert row["resource"] == shown
