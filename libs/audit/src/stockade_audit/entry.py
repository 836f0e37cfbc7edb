"""One line of the record: what an `Entry` holds, and its canonical bytes, which are a leaf of the journal's tree."""

import calendar
import dataclasses
import json
import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, Final

import orjson

from stockade_audit.redaction import (
    ID_LENGTH,
    MAX_KEY,
    MAX_TEXT,
    are_clean,
    is_clean,
    is_clean_metadata,
    redact_fields,
)

MetadataValue = str | int | float | bool

MAX_METADATA: Final = 32  # metadata items
PENDING: Final = "PENDING"  # status of an ALLOWED entry that another one will close with its outcome


class Action(StrEnum):
    """What happened. Decisions, then what frames an effect, then lifecycle, then the record's own."""

    ALLOWED = "ALLOWED"
    BLOCKED = "BLOCKED"
    RATE_LIMITED = "RATE_LIMITED"

    INTENT = "INTENT"
    OUTCOME = "OUTCOME"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    FOLDED = "FOLDED"
    READ = "READ"
    CALLED = "CALLED"  # a call that came to an end and that nothing else names
    CLAIM = "CLAIM"  # an agent's own words: never to be read as a decision

    SANDBOX_CREATED = "SANDBOX_CREATED"
    SANDBOX_STARTED = "SANDBOX_STARTED"
    SANDBOX_PAUSED = "SANDBOX_PAUSED"
    SANDBOX_RESUMED = "SANDBOX_RESUMED"
    SANDBOX_UPDATED = "SANDBOX_UPDATED"
    SANDBOX_DELETED = "SANDBOX_DELETED"
    SANDBOX_LOST = "SANDBOX_LOST"
    EXEC_STARTED = "EXEC_STARTED"
    EXEC_ENDED = "EXEC_ENDED"
    FILE_WRITTEN = "FILE_WRITTEN"
    DOOR_OPENED = "DOOR_OPENED"
    DOOR_CLOSED = "DOOR_CLOSED"
    POLICY_CHANGED = "POLICY_CHANGED"
    LEASE_GRANTED = "LEASE_GRANTED"
    LEASE_CLOSED = "LEASE_CLOSED"
    CACHE_CLEARED = "CACHE_CLEARED"
    MEASURED = "MEASURED"  # figures of an acceptance run
    SERVICE_STARTED = "SERVICE_STARTED"
    SERVICE_STOPPED = "SERVICE_STOPPED"

    ALERT = "ALERT"  # a finding; its id is the finding's
    ACKNOWLEDGED = "ACKNOWLEDGED"  # somebody looks into the finding that intent_id names
    GAP = "GAP"  # what was refused while the record could not be written
    LATE = "LATE"  # an entry became durable after its caller had been refused
    CLOCK_CHANGED = "CLOCK_CHANGED"
    KEY_ROTATED = "KEY_ROTATED"
    ERASED = "ERASED"
    HOLD_PLACED = "HOLD_PLACED"
    HOLD_RELEASED = "HOLD_RELEASED"
    DISPOSED = "DISPOSED"  # closes the finding that intent_id names


class EntryClass(StrEnum):
    """What is kept equally long: each class has its own keys, and its own retention."""

    DECISION = "decision"
    ACTIVITY = "activity"
    ACCESS = "access"
    CLAIM = "claim"


_CLASSES: Final = {
    **dict.fromkeys(("ALLOWED", "BLOCKED", "RATE_LIMITED", "LEASE_GRANTED", "LEASE_CLOSED"), EntryClass.DECISION),
    **dict.fromkeys(("READ", "FOLDED", "CALLED"), EntryClass.ACCESS),
    "CLAIM": EntryClass.CLAIM,
}


def class_of(action: str) -> str:
    """The class of an entry, by its action."""
    return _CLASSES.get(action, EntryClass.ACTIVITY)


_LINE_FEED: Final = orjson.Fragment(b"\n")
_pool: list[int] = []
os.register_at_fork(after_in_child=_pool.clear)


def _unguessable() -> int:
    """64 bits from the system, which is asked for many at a time: each asking lets go of the interpreter."""
    try:
        return _pool.pop()
    except IndexError:
        _pool.extend(struct.unpack("<512Q", os.urandom(4096)))
        return _pool.pop()


def new_entry_id() -> str:
    """A UUIDv7 (RFC 9562 §5.7, sub-millisecond time in rand_a by its method 3): sorts by time of creation."""
    ms, ns = divmod(time.time_ns(), 1_000_000)
    tail = _unguessable() >> 2 | 1 << 63  # who knows a decision's id can close it
    digits = f"{ms:012x}{0x7000 | ns * 4096 // 1_000_000:04x}{tail:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event. What is empty or zero is not written.

    `time_ns` is Unix time in nanoseconds; `duration_us` microseconds; `intent_id` is the id of the INTENT entry that
    this one closes; `status` is a gRPC code's name or an HTTP status; `trace_id` and `span_id` are lower-case hex.
    """

    action: Action
    id: str = field(default_factory=new_entry_id)
    time_ns: int = field(default_factory=time.time_ns)
    service: str = ""
    principal_kind: str = ""
    principal: str = ""
    agent: str = ""
    agent_type: str = ""
    sandbox: str = ""
    resource: str = ""
    domain: str = ""
    reason: str = ""
    rule: str = ""
    policy_version: int = 0
    method: str = ""
    path: str = ""
    status: str | int = ""
    bytes_sent: int = 0
    bytes_received: int = 0
    duration_us: int = 0
    trace_id: str = ""
    span_id: str = ""
    intent_id: str = ""
    metadata: dict[str, MetadataValue] = field(default_factory=dict)


def _written_out() -> Callable[[Entry], dict[str, Any]]:
    """A function that gives what is set in an entry, field by field, as `dataclass` writes its `__init__`.

    A loop over the names takes more than twice as long, and this is done for every entry.
    """
    names = sorted(f.name for f in dataclasses.fields(Entry) if f.name != "time_ns")
    lines = [f"    if value := entry.{name}: fields[{name!r}] = value" for name in names]
    made: dict[str, Any] = {}
    exec("\n".join(("def members(entry):", "    fields = {}", *lines, "    return fields")), made)  # noqa: S102 - ours
    function: Callable[[Entry], dict[str, Any]] = made["members"]
    return function


_members = _written_out()
_texts = attrgetter(
    "agent", "agent_type", "domain", "method", "path", "principal", "principal_kind", "reason", "resource", "rule",
    "sandbox", "service",
)  # fmt: skip


def leaf_fields(entry: Entry, service: str) -> dict[str, Any]:
    """The members an entry's leaf will have: what is set, the time as RFC 3339 with nanoseconds, `service` if unset."""
    fields = _members(entry)
    fields["time"] = format_time(entry.time_ns)
    if not entry.service:
        fields["service"] = service
    return fields


def encode_leaf(fields: dict[str, Any]) -> bytes:
    """The canonical JSON of a leaf: keys sorted, no spaces, secrets cut, lengths bounded, printable."""
    return encode_members(trim(fields))


def encode_members(fields: dict[str, Any]) -> bytes:
    """Canonical JSON with nothing in it that a terminal would obey. TypeError for what it has no form for."""
    return encode_all([fields])[0]


def encode_all(many: Sequence[dict[str, Any]]) -> list[bytes]:
    """The same for many at once, which costs half: taken apart at line feeds, which no JSON text has within."""
    if not many:
        return []
    encoded = _dumps(list(chain.from_iterable(zip(many, repeat(_LINE_FEED), strict=False))))
    each = encoded[1:-3].split(b",\n,")  # [{…},\n,{…},\n]
    return each if encoded.isascii() and b"\x7f" not in encoded else [*map(_printable, each)]


def trim(fields: dict[str, Any]) -> dict[str, Any]:
    """The same members, secrets cut and lengths bounded.

    What was cut is counted in `redacted`; the names of fields that were shortened stand in `truncated`.
    """
    try:
        size = len(_dumps(fields))
    except (TypeError, ValueError):  # a lone surrogate, an integer beyond 64 bits, a key that is no text
        fields = _bounded(fields)
        size = len(_dumps(fields))
    if size > MAX_TEXT or len(fields.get("metadata", ())) > MAX_METADATA:
        fields = _bounded(fields)
    return redact_fields(fields)


def is_plain(entry: Entry) -> bool:
    """Whether `trim` is known to change nothing, found out without encoding. TypeError for a field of a wrong type."""
    return (
        are_clean(_texts(entry))
        and is_clean(entry.status)
        and len(entry.id) <= ID_LENGTH
        and len(entry.intent_id) <= ID_LENGTH
        and len(entry.trace_id) <= ID_LENGTH
        and len(entry.span_id) <= ID_LENGTH
        and (not entry.metadata or (len(entry.metadata) <= MAX_METADATA and is_clean_metadata(entry.metadata)))
    )


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS)


@lru_cache(maxsize=8)
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def format_time(time_ns: int) -> str:
    """RFC 3339 in UTC with nine decimals."""
    second, ns = divmod(time_ns, 1_000_000_000)
    return f"{_format_second(second)}.{ns:09d}Z"


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch of what `format_time` wrote."""
    return _parse_second(text[:19]) * 1_000_000_000 + int(text[20:29])


@lru_cache(maxsize=64)
def _parse_second(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


def _printable(leaf: bytes) -> bytes:
    """The same JSON value with what a terminal obeys (controls, bidirectional overrides) as \\u escapes.

    So even showing the raw file harms nobody.
    """
    text = leaf.decode()
    if text.isprintable():
        return leaf
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).encode()


def _bounded(fields: dict[str, Any]) -> dict[str, Any]:
    cut: list[str] = list(fields.pop("truncated", ()))
    bounded = {name: _bounded_value(name, value, cut) for name, value in fields.items() if name != "metadata"}
    if metadata := fields.get("metadata"):
        kept = list(metadata.items())[:MAX_METADATA]
        if len(kept) < len(metadata):
            cut.append("metadata")
        bounded["metadata"] = {
            str(_bounded_value("metadata", str(k), cut, MAX_KEY)): _bounded_value(f"metadata.{k}"[:MAX_KEY], v, cut)
            for k, v in kept
        }
    if cut:
        bounded["truncated"] = sorted({_clean(name) for name in cut})
    return bounded


def _bounded_value(name: str, value: Any, cut: list[str], limit: int = MAX_TEXT) -> Any:
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else _bounded_value(name, str(value), cut, limit)
    text = _clean(str(value))
    if len(text) > limit:
        cut.append(name)
        return text[:limit]
    return text


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
