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

class PolicyMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_MODE_UNSPECIFIED: _ClassVar[PolicyMode]
    POLICY_MODE_ENFORCE: _ClassVar[PolicyMode]
    POLICY_MODE_REPORT: _ClassVar[PolicyMode]

class PolicyChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_CHANGE_UNSPECIFIED: _ClassVar[PolicyChange]
    POLICY_CHANGE_CREATED: _ClassVar[PolicyChange]
    POLICY_CHANGE_UPDATED: _ClassVar[PolicyChange]
    POLICY_CHANGE_DELETED: _ClassVar[PolicyChange]
POLICY_MODE_UNSPECIFIED: PolicyMode
POLICY_MODE_ENFORCE: PolicyMode
POLICY_MODE_REPORT: PolicyMode
POLICY_CHANGE_UNSPECIFIED: PolicyChange
POLICY_CHANGE_CREATED: PolicyChange
POLICY_CHANGE_UPDATED: PolicyChange
POLICY_CHANGE_DELETED: PolicyChange

class Limits(_message.Message):
    __slots__ = ("requests_per_minute", "requests_per_hour", "burst_size", "max_tunnels", "bytes_per_hour", "tunnel_lifetime")
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    BURST_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_TUNNELS_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    requests_per_minute: int
    requests_per_hour: int
    burst_size: int
    max_tunnels: int
    bytes_per_hour: int
    tunnel_lifetime: _duration_pb2.Duration
    def __init__(self, requests_per_minute: _Optional[int] = ..., requests_per_hour: _Optional[int] = ..., burst_size: _Optional[int] = ..., max_tunnels: _Optional[int] = ..., bytes_per_hour: _Optional[int] = ..., tunnel_lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("agent_type", "allowed_domains", "allowed_ports", "limits", "audit_logging", "block_unknown_domains", "mode", "etag", "version", "update_time", "changed_by")
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_DOMAINS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_PORTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_LOGGING_FIELD_NUMBER: _ClassVar[int]
    BLOCK_UNKNOWN_DOMAINS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CHANGED_BY_FIELD_NUMBER: _ClassVar[int]
    agent_type: str
    allowed_domains: _containers.RepeatedScalarFieldContainer[str]
    allowed_ports: _containers.RepeatedScalarFieldContainer[int]
    limits: Limits
    audit_logging: bool
    block_unknown_domains: bool
    mode: PolicyMode
    etag: str
    version: int
    update_time: _timestamp_pb2.Timestamp
    changed_by: str
    def __init__(self, agent_type: _Optional[str] = ..., allowed_domains: _Optional[_Iterable[str]] = ..., allowed_ports: _Optional[_Iterable[int]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., audit_logging: _Optional[bool] = ..., block_unknown_domains: _Optional[bool] = ..., mode: _Optional[_Union[PolicyMode, str]] = ..., etag: _Optional[str] = ..., version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changed_by: _Optional[str] = ...) -> None: ...

class PolicyVersion(_message.Message):
    __slots__ = ("policy", "change")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    change: PolicyChange
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ..., change: _Optional[_Union[PolicyChange, str]] = ...) -> None: ...

class Mistake(_message.Message):
    __slots__ = ("field", "line", "message", "mend")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MEND_FIELD_NUMBER: _ClassVar[int]
    field: str
    line: int
    message: str
    mend: str
    def __init__(self, field: _Optional[str] = ..., line: _Optional[int] = ..., message: _Optional[str] = ..., mend: _Optional[str] = ...) -> None: ...

class PolicySnapshot(_message.Message):
    __slots__ = ("agent_type", "policy", "create_time", "expire_time", "narrowed", "narrowing")
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    NARROWED_FIELD_NUMBER: _ClassVar[int]
    NARROWING_FIELD_NUMBER: _ClassVar[int]
    agent_type: str
    policy: Policy
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    narrowed: bool
    narrowing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_type: _Optional[str] = ..., policy: _Optional[_Union[Policy, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., narrowed: _Optional[bool] = ..., narrowing: _Optional[_Iterable[str]] = ...) -> None: ...

class SignedSnapshot(_message.Message):
    __slots__ = ("snapshot", "signature", "public_key")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    snapshot: bytes
    signature: bytes
    public_key: bytes
    def __init__(self, snapshot: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., public_key: _Optional[bytes] = ...) -> None: ...
