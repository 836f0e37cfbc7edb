import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stockade.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_ALLOWED: _ClassVar[Action]
    ACTION_BLOCKED: _ClassVar[Action]
    ACTION_RATE_LIMITED: _ClassVar[Action]
    ACTION_INTENT: _ClassVar[Action]
    ACTION_OUTCOME: _ClassVar[Action]
    ACTION_OUTCOME_UNKNOWN: _ClassVar[Action]
    ACTION_FOLDED: _ClassVar[Action]
    ACTION_READ: _ClassVar[Action]
    ACTION_CLAIM: _ClassVar[Action]
    ACTION_CALLED: _ClassVar[Action]
    ACTION_SANDBOX_CREATED: _ClassVar[Action]
    ACTION_SANDBOX_STARTED: _ClassVar[Action]
    ACTION_SANDBOX_PAUSED: _ClassVar[Action]
    ACTION_SANDBOX_RESUMED: _ClassVar[Action]
    ACTION_SANDBOX_UPDATED: _ClassVar[Action]
    ACTION_SANDBOX_DELETED: _ClassVar[Action]
    ACTION_SANDBOX_LOST: _ClassVar[Action]
    ACTION_EXEC_STARTED: _ClassVar[Action]
    ACTION_EXEC_ENDED: _ClassVar[Action]
    ACTION_FILE_WRITTEN: _ClassVar[Action]
    ACTION_DOOR_OPENED: _ClassVar[Action]
    ACTION_DOOR_CLOSED: _ClassVar[Action]
    ACTION_POLICY_CHANGED: _ClassVar[Action]
    ACTION_LEASE_GRANTED: _ClassVar[Action]
    ACTION_LEASE_CLOSED: _ClassVar[Action]
    ACTION_CACHE_CLEARED: _ClassVar[Action]
    ACTION_MEASURED: _ClassVar[Action]
    ACTION_SERVICE_STARTED: _ClassVar[Action]
    ACTION_SERVICE_STOPPED: _ClassVar[Action]
    ACTION_ALERT: _ClassVar[Action]
    ACTION_GAP: _ClassVar[Action]
    ACTION_LATE: _ClassVar[Action]
    ACTION_CLOCK_CHANGED: _ClassVar[Action]
    ACTION_KEY_ROTATED: _ClassVar[Action]
    ACTION_ERASED: _ClassVar[Action]
    ACTION_HOLD_PLACED: _ClassVar[Action]
    ACTION_HOLD_RELEASED: _ClassVar[Action]
    ACTION_DISPOSED: _ClassVar[Action]
    ACTION_ACKNOWLEDGED: _ClassVar[Action]
ACTION_UNSPECIFIED: Action
ACTION_ALLOWED: Action
ACTION_BLOCKED: Action
ACTION_RATE_LIMITED: Action
ACTION_INTENT: Action
ACTION_OUTCOME: Action
ACTION_OUTCOME_UNKNOWN: Action
ACTION_FOLDED: Action
ACTION_READ: Action
ACTION_CLAIM: Action
ACTION_CALLED: Action
ACTION_SANDBOX_CREATED: Action
ACTION_SANDBOX_STARTED: Action
ACTION_SANDBOX_PAUSED: Action
ACTION_SANDBOX_RESUMED: Action
ACTION_SANDBOX_UPDATED: Action
ACTION_SANDBOX_DELETED: Action
ACTION_SANDBOX_LOST: Action
ACTION_EXEC_STARTED: Action
ACTION_EXEC_ENDED: Action
ACTION_FILE_WRITTEN: Action
ACTION_DOOR_OPENED: Action
ACTION_DOOR_CLOSED: Action
ACTION_POLICY_CHANGED: Action
ACTION_LEASE_GRANTED: Action
ACTION_LEASE_CLOSED: Action
ACTION_CACHE_CLEARED: Action
ACTION_MEASURED: Action
ACTION_SERVICE_STARTED: Action
ACTION_SERVICE_STOPPED: Action
ACTION_ALERT: Action
ACTION_GAP: Action
ACTION_LATE: Action
ACTION_CLOCK_CHANGED: Action
ACTION_KEY_ROTATED: Action
ACTION_ERASED: Action
ACTION_HOLD_PLACED: Action
ACTION_HOLD_RELEASED: Action
ACTION_DISPOSED: Action
ACTION_ACKNOWLEDGED: Action

class Entry(_message.Message):
    __slots__ = ("id", "journal", "position", "time", "service", "action", "principal_kind", "principal", "agent", "agent_type", "sandbox", "resource", "domain", "reason", "rule", "policy_version", "method", "path", "status", "bytes_sent", "bytes_received", "duration", "trace_id", "span_id", "intent_id", "metadata", "redacted", "truncated", "leaf", "erased", "key_missing", "openings")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_KIND_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    INTENT_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    REDACTED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    KEY_MISSING_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    journal: str
    position: int
    time: _timestamp_pb2.Timestamp
    service: str
    action: Action
    principal_kind: str
    principal: str
    agent: str
    agent_type: str
    sandbox: str
    resource: str
    domain: str
    reason: str
    rule: str
    policy_version: int
    method: str
    path: str
    status: str
    bytes_sent: int
    bytes_received: int
    duration: _duration_pb2.Duration
    trace_id: str
    span_id: str
    intent_id: str
    metadata: _containers.ScalarMap[str, str]
    redacted: int
    truncated: _containers.RepeatedScalarFieldContainer[str]
    leaf: bytes
    erased: bool
    key_missing: bool
    openings: _containers.RepeatedCompositeFieldContainer[Opening]
    def __init__(self, id: _Optional[str] = ..., journal: _Optional[str] = ..., position: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., service: _Optional[str] = ..., action: _Optional[_Union[Action, str]] = ..., principal_kind: _Optional[str] = ..., principal: _Optional[str] = ..., agent: _Optional[str] = ..., agent_type: _Optional[str] = ..., sandbox: _Optional[str] = ..., resource: _Optional[str] = ..., domain: _Optional[str] = ..., reason: _Optional[str] = ..., rule: _Optional[str] = ..., policy_version: _Optional[int] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., status: _Optional[str] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., trace_id: _Optional[str] = ..., span_id: _Optional[str] = ..., intent_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., redacted: _Optional[int] = ..., truncated: _Optional[_Iterable[str]] = ..., leaf: _Optional[bytes] = ..., erased: _Optional[bool] = ..., key_missing: _Optional[bool] = ..., openings: _Optional[_Iterable[_Union[Opening, _Mapping]]] = ...) -> None: ...

class Opening(_message.Message):
    __slots__ = ("part", "salt", "value")
    PART_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    part: int
    salt: bytes
    value: bytes
    def __init__(self, part: _Optional[int] = ..., salt: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class IndexedThrough(_message.Message):
    __slots__ = ("journal", "size", "time")
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    journal: str
    size: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, journal: _Optional[str] = ..., size: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EntryFilter(_message.Message):
    __slots__ = ("start_time", "end_time", "agents", "agent_types", "domains", "actions", "sandboxes", "principals", "services", "trace_id")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    SANDBOXES_FIELD_NUMBER: _ClassVar[int]
    PRINCIPALS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    agents: _containers.RepeatedScalarFieldContainer[str]
    agent_types: _containers.RepeatedScalarFieldContainer[str]
    domains: _containers.RepeatedScalarFieldContainer[str]
    actions: _containers.RepeatedScalarFieldContainer[Action]
    sandboxes: _containers.RepeatedScalarFieldContainer[str]
    principals: _containers.RepeatedScalarFieldContainer[str]
    services: _containers.RepeatedScalarFieldContainer[str]
    trace_id: str
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., agents: _Optional[_Iterable[str]] = ..., agent_types: _Optional[_Iterable[str]] = ..., domains: _Optional[_Iterable[str]] = ..., actions: _Optional[_Iterable[_Union[Action, str]]] = ..., sandboxes: _Optional[_Iterable[str]] = ..., principals: _Optional[_Iterable[str]] = ..., services: _Optional[_Iterable[str]] = ..., trace_id: _Optional[str] = ...) -> None: ...
