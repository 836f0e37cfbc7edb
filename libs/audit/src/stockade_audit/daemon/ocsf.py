"""Entries as OCSF events (schema.ocsf.io, version 1.5.0): one JSON object a line.

A request to a host is Network Activity, an alert or gap a Detection Finding, all else API Activity. `raw_data` is the
leaf as it was written and `unmapped.personal` what was opened of it, so that an event can be turned back into its
entry. What an event cannot be is verified: no proof ties it to a signed head.
"""

from typing import Any, Final

import orjson

from stockade_audit.entry import parse_time
from stockade_audit.sealing import Opened

VERSION: Final = "1.5.0"
NETWORK, API, FINDING = 4001, 6003, 2004
_OTHER: Final = 99
_LABEL: Final = "cannot be verified: only JSON and NDJSON exports carry proofs"

# Activities by action; the rest is Other, named by the action itself.
_ACTIVITIES: Final = {
    NETWORK: {"ALLOWED": 1, "BLOCKED": 5, "RATE_LIMITED": 5},
    FINDING: {"ALERT": 1, "GAP": 1},
    API: {"SANDBOX_CREATED": 1, "READ": 2, "SANDBOX_UPDATED": 3, "POLICY_CHANGED": 3, "SANDBOX_DELETED": 4},
}
# (action_id, disposition_id) of the profile security_control.
_DECISIONS: Final = {"ALLOWED": (1, 1), "BLOCKED": (2, 2), "RATE_LIMITED": (2, 25)}
_UNMAPPED: Final = ("sandbox", "agent_type", "trace_id", "intent_id")
_SEVERITIES: Final = {"BLOCKED": 3, "RATE_LIMITED": 2, "ALERT": 4, "GAP": 4, "CLOCK_CHANGED": 3}


def ocsf_event(slot: str, position: int, entry: Opened) -> bytes:
    """The event of one entry."""
    fields = entry.fields
    class_uid = _class_of(fields)
    action = fields["action"]
    activity = _ACTIVITIES[class_uid].get(action, _OTHER)
    event: dict[str, Any] = {
        "class_uid": class_uid,
        "category_uid": class_uid // 1000,
        "activity_id": activity,
        "activity_name": action,
        "type_uid": class_uid * 100 + activity,
        "time": parse_time(fields["time"]) // 1_000_000,
        "severity_id": _SEVERITIES.get(action, 1),
        "message": " ".join(filter(None, (action, fields.get("resource", ""), fields.get("reason", "")))),
        "raw_data": entry.leaf.decode(),
        "metadata": _metadata(slot, position, fields),
        "unmapped": _unmapped(entry),
    }
    if "duration_us" in fields:
        event["duration"] = fields["duration_us"] // 1000
    return orjson.dumps(event | _DETAILS[class_uid](fields) | _decision(fields))


def _unmapped(entry: Opened) -> dict[str, Any]:
    unmapped: dict[str, Any] = {name: entry.fields[name] for name in _UNMAPPED if name in entry.fields}
    personal: dict[str, Any] = {}
    for opening in entry.openings:
        personal |= orjson.loads(opening.value)
    if personal:
        unmapped["personal"] = personal
    return unmapped | {name: True for name in ("erased", "key_missing") if getattr(entry, name)}


def _class_of(fields: dict[str, Any]) -> int:
    if fields.get("domain"):
        return NETWORK
    return FINDING if fields["action"] in _ACTIVITIES[FINDING] else API


def _metadata(slot: str, position: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "product": {"name": "Stockade", "vendor_name": "Stockade"},
        "uid": fields["id"],
        "event_code": fields["action"],
        "original_time": fields["time"],
        "log_name": slot,
        "sequence": position,
        "labels": [_LABEL],
        "profiles": ["security_control"] if fields["action"] in _DECISIONS else [],
    }


def _decision(fields: dict[str, Any]) -> dict[str, Any]:
    if fields["action"] not in _DECISIONS:
        return {}
    action_id, disposition_id = _DECISIONS[fields["action"]]
    decision: dict[str, Any] = {"action_id": action_id, "disposition_id": disposition_id}
    if "rule" in fields:
        decision["firewall_rule"] = {"name": fields["rule"]}
    return decision


def _network(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "dst_endpoint": {"hostname": fields["domain"]},
        "src_endpoint": {"name": _who(fields)},
        "traffic": {"bytes_out": fields.get("bytes_sent", 0), "bytes_in": fields.get("bytes_received", 0)},
    }


def _api(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "actor": {"user": {"name": _who(fields), "type": fields.get("principal_kind", "service")}},
        "api": {"operation": fields.get("method") or fields["action"], "service": {"name": fields["service"]}},
        "src_endpoint": {"name": fields.get("sandbox") or fields["service"]},
    }


def _finding(fields: dict[str, Any]) -> dict[str, Any]:
    return {"finding_info": {"uid": fields["id"], "title": fields.get("reason") or fields["action"]}}


def _who(fields: dict[str, Any]) -> str:
    return str(fields.get("agent") or fields.get("principal") or fields["service"])


_DETAILS: Final = {NETWORK: _network, API: _api, FINDING: _finding}
