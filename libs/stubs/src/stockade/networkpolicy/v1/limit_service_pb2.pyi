import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stockade.networkpolicy.v1 import policy_pb2 as _policy_pb2
from stockade.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetLimitUsageRequest(_message.Message):
    __slots__ = ("agent", "agent_type")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    agent: str
    agent_type: str
    def __init__(self, agent: _Optional[str] = ..., agent_type: _Optional[str] = ...) -> None: ...

class GetLimitUsageResponse(_message.Message):
    __slots__ = ("agent", "policy", "limits", "burst_left", "requests_last_hour", "tunnels_open", "bytes_last_hour", "tokens_on_lease", "retry_after", "as_of")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    BURST_LEFT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_LAST_HOUR_FIELD_NUMBER: _ClassVar[int]
    TUNNELS_OPEN_FIELD_NUMBER: _ClassVar[int]
    BYTES_LAST_HOUR_FIELD_NUMBER: _ClassVar[int]
    TOKENS_ON_LEASE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    agent: str
    policy: str
    limits: _policy_pb2.Limits
    burst_left: int
    requests_last_hour: int
    tunnels_open: int
    bytes_last_hour: int
    tokens_on_lease: int
    retry_after: _duration_pb2.Duration
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, agent: _Optional[str] = ..., policy: _Optional[str] = ..., limits: _Optional[_Union[_policy_pb2.Limits, _Mapping]] = ..., burst_left: _Optional[int] = ..., requests_last_hour: _Optional[int] = ..., tunnels_open: _Optional[int] = ..., bytes_last_hour: _Optional[int] = ..., tokens_on_lease: _Optional[int] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AcquirePermitsRequest(_message.Message):
    __slots__ = ("agent", "agent_type", "message_type", "permits")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PERMITS_FIELD_NUMBER: _ClassVar[int]
    agent: str
    agent_type: str
    message_type: str
    permits: int
    def __init__(self, agent: _Optional[str] = ..., agent_type: _Optional[str] = ..., message_type: _Optional[str] = ..., permits: _Optional[int] = ...) -> None: ...

class AcquirePermitsResponse(_message.Message):
    __slots__ = ("granted", "retry_after", "burst_left", "rule")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    BURST_LEFT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    granted: bool
    retry_after: _duration_pb2.Duration
    burst_left: int
    rule: str
    def __init__(self, granted: _Optional[bool] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., burst_left: _Optional[int] = ..., rule: _Optional[str] = ...) -> None: ...

class MessageLimit(_message.Message):
    __slots__ = ("message_type", "agent_type", "messages_per_minute", "burst")
    MESSAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    message_type: str
    agent_type: str
    messages_per_minute: int
    burst: int
    def __init__(self, message_type: _Optional[str] = ..., agent_type: _Optional[str] = ..., messages_per_minute: _Optional[int] = ..., burst: _Optional[int] = ...) -> None: ...

class ListMessageLimitsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMessageLimitsResponse(_message.Message):
    __slots__ = ("limits", "next_page_token")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[MessageLimit]
    next_page_token: str
    def __init__(self, limits: _Optional[_Iterable[_Union[MessageLimit, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetMessageLimitRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: MessageLimit
    def __init__(self, limit: _Optional[_Union[MessageLimit, _Mapping]] = ...) -> None: ...

class SetMessageLimitResponse(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: MessageLimit
    def __init__(self, limit: _Optional[_Union[MessageLimit, _Mapping]] = ...) -> None: ...
