"""Between the contract's messages and the daemon's own values."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import orjson
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import entry_pb2, integrity_service_pb2

from stockade_audit.daemon.domain.query import Filter, Indexed, StatsQuery, StatsRow
from stockade_audit.entry import Action, Entry, new_entry_id, parse_time
from stockade_audit.head import Head
from stockade_audit.sealing import Opened

_TEXTS = (
    "id", "service", "principal_kind", "principal", "agent", "agent_type", "sandbox", "resource", "domain", "reason",
    "rule", "method", "path", "trace_id", "span_id", "intent_id",
)  # fmt: skip
_NUMBERS = ("policy_version", "bytes_sent", "bytes_received", "redacted")
_DIMENSIONS = {
    audit.STATS_DIMENSION_ACTION: "action",
    audit.STATS_DIMENSION_AGENT: "agent",
    audit.STATS_DIMENSION_AGENT_TYPE: "agent_type",
    audit.STATS_DIMENSION_DOMAIN: "domain",
    audit.STATS_DIMENSION_MINUTE: "minute",
    audit.STATS_DIMENSION_SERVICE: "service",
}
_MINUTE_NS = 60_000_000_000


def timestamp(time_ns: int) -> Timestamp:
    """A time in ns."""
    return Timestamp(seconds=time_ns // 1_000_000_000, nanos=time_ns % 1_000_000_000)


def time_ns_of(message: Any, field: str) -> int:
    """The ns of a Timestamp field, 0 when it is not set."""
    return int(getattr(message, field).ToNanoseconds()) if message.HasField(field) else 0


def action_name(value: int) -> str:
    """The record's word for the contract's action."""
    return entry_pb2.Action.Name(value).removeprefix("ACTION_")


def action_value(name: str) -> Any:
    """The contract's action for the record's word; UNSPECIFIED for one from a later version."""
    return entry_pb2.Action.DESCRIPTOR.values_by_name.get(f"ACTION_{name}", _NO_ACTION).number


_NO_ACTION = entry_pb2.Action.DESCRIPTOR.values_by_name["ACTION_UNSPECIFIED"]


def filter_of(message: entry_pb2.EntryFilter) -> Filter:
    """The question of an EntryFilter."""
    return Filter(
        start_ns=time_ns_of(message, "start_time"),
        end_ns=time_ns_of(message, "end_time"),
        agents=tuple(message.agents),
        agent_types=tuple(message.agent_types),
        domains=tuple(message.domains),
        actions=tuple(map(action_name, message.actions)),
        sandboxes=tuple(message.sandboxes),
        principals=tuple(message.principals),
        services=tuple(message.services),
        trace_id=message.trace_id,
    )


def entry_message(slot: str, position: int, entry: Opened) -> entry_pb2.Entry:
    """An entry as the contract shows it."""
    fields = entry.fields
    message = entry_pb2.Entry(
        journal=slot,
        position=position,
        time=timestamp(parse_time(fields["time"])),
        action=action_value(fields["action"]),
        status=str(fields.get("status", "")),
        metadata={key: _text(value) for key, value in fields.get("metadata", {}).items()},
        truncated=fields.get("truncated", ()),
        leaf=entry.leaf,
        erased=entry.erased,
        key_missing=entry.key_missing,
        openings=[entry_pb2.Opening(part=o.part, salt=o.salt, value=o.value) for o in entry.openings],
    )
    for name in (*_TEXTS, *_NUMBERS):
        if name in fields:
            setattr(message, name, fields[name])
    if "duration_us" in fields:
        message.duration.FromMicroseconds(fields["duration_us"])
    return message


def entry_of(message: entry_pb2.Entry, **fixed: Any) -> Entry:
    """The entry that a caller asks to append; `fixed` is not the caller's to say."""
    fields: dict[str, Any] = {name: value for name, value in zip(_GIVEN, _given(message), strict=True) if value}
    fields["id"] = message.id or new_entry_id()
    fields["action"] = _ACTIONS[message.action]
    if message.HasField("duration"):
        fields["duration_us"] = message.duration.ToMicroseconds()
    if message.metadata:
        fields["metadata"] = dict(message.metadata)
    if message.HasField("time"):
        fields["time_ns"] = message.time.ToNanoseconds()
    return Entry(**(fields | fixed))


_GIVEN = (*(name for name in _TEXTS if name != "id"), *_NUMBERS[:3], "status")
_given = attrgetter(*_GIVEN)
_ACTIONS = {number: Action(action_name(number)) for number in entry_pb2.Action.values() if number} | {0: Action.CLAIM}


def indexed_messages(states: list[Indexed]) -> list[entry_pb2.IndexedThrough]:
    """How far each journal is indexed."""
    return [
        entry_pb2.IndexedThrough(journal=state.slot, size=state.place.position, time=timestamp(state.time_ns))
        for state in states
    ]


def stats_query(request: audit.GetStatsRequest) -> StatsQuery:
    """The question of a GetStatsRequest."""
    return StatsQuery(
        start_ns=time_ns_of(request, "start_time"),
        end_ns=time_ns_of(request, "end_time"),
        group_by=tuple(_DIMENSIONS[value] for value in request.group_by) or ("action",),
        actions=tuple(map(action_name, request.actions)),
        agents=tuple(request.agents),
        agent_types=tuple(request.agent_types),
        limit=request.limit or 100,
    )


_SHOWN: Mapping[str, Callable[[Any], Any]] = {
    "action": action_value,
    "minute": lambda minute: timestamp(minute * _MINUTE_NS),
}


def stats_message(row: StatsRow) -> audit.StatsRow:
    """A row of counts."""
    values = {name: _SHOWN.get(name, str)(value) for name, value in row.values.items()}
    message = audit.StatsRow(count=row.count, bytes_sent=row.bytes_sent, bytes_received=row.bytes_received, **values)
    message.duration.FromMicroseconds(row.duration_us)
    return message


def head_message(head: Head, witnessed: bool) -> integrity_service_pb2.Head:
    """A head."""
    return integrity_service_pb2.Head(
        sequence=head.sequence,
        time=timestamp(head.time_ns),
        journals=[
            integrity_service_pb2.JournalHead(journal=slot, size=mark.size, root=mark.root, key=mark.key)
            for slot, mark in sorted(head.journals.items())
        ],
        note=head.note,
        witnessed=witnessed,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
