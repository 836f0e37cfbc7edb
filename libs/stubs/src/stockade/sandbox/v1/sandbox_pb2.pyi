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

class NetworkMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NETWORK_MODE_UNSPECIFIED: _ClassVar[NetworkMode]
    NETWORK_MODE_ISOLATED: _ClassVar[NetworkMode]
    NETWORK_MODE_WHITELISTED: _ClassVar[NetworkMode]
    NETWORK_MODE_HOST: _ClassVar[NetworkMode]

class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIER_UNSPECIFIED: _ClassVar[Tier]
    TIER_NAMESPACE: _ClassVar[Tier]
    TIER_RUNC: _ClassVar[Tier]
    TIER_GVISOR: _ClassVar[Tier]

class SandboxState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SANDBOX_STATE_UNSPECIFIED: _ClassVar[SandboxState]
    SANDBOX_STATE_STARTING: _ClassVar[SandboxState]
    SANDBOX_STATE_RUNNING: _ClassVar[SandboxState]
    SANDBOX_STATE_PAUSED: _ClassVar[SandboxState]
    SANDBOX_STATE_ENDING: _ClassVar[SandboxState]
    SANDBOX_STATE_ENDED: _ClassVar[SandboxState]
    SANDBOX_STATE_LOST: _ClassVar[SandboxState]

class StateReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_REASON_UNSPECIFIED: _ClassVar[StateReason]
    STATE_REASON_DELETED: _ClassVar[StateReason]
    STATE_REASON_LIFETIME_OVER: _ClassVar[StateReason]
    STATE_REASON_IDLE: _ClassVar[StateReason]
    STATE_REASON_START_FAILED: _ClassVar[StateReason]
    STATE_REASON_KILLED: _ClassVar[StateReason]
    STATE_REASON_REMOVED: _ClassVar[StateReason]
    STATE_REASON_OUT_OF_MEMORY: _ClassVar[StateReason]
    STATE_REASON_SUPERVISOR_GONE: _ClassVar[StateReason]
    STATE_REASON_NODE_DRAINED: _ClassVar[StateReason]
    STATE_REASON_NODE_LOST: _ClassVar[StateReason]

class HealthState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_STATE_UNSPECIFIED: _ClassVar[HealthState]
    HEALTH_STATE_HEALTHY: _ClassVar[HealthState]
    HEALTH_STATE_UNRESPONSIVE: _ClassVar[HealthState]
    HEALTH_STATE_NOT_RUNNING: _ClassVar[HealthState]
NETWORK_MODE_UNSPECIFIED: NetworkMode
NETWORK_MODE_ISOLATED: NetworkMode
NETWORK_MODE_WHITELISTED: NetworkMode
NETWORK_MODE_HOST: NetworkMode
TIER_UNSPECIFIED: Tier
TIER_NAMESPACE: Tier
TIER_RUNC: Tier
TIER_GVISOR: Tier
SANDBOX_STATE_UNSPECIFIED: SandboxState
SANDBOX_STATE_STARTING: SandboxState
SANDBOX_STATE_RUNNING: SandboxState
SANDBOX_STATE_PAUSED: SandboxState
SANDBOX_STATE_ENDING: SandboxState
SANDBOX_STATE_ENDED: SandboxState
SANDBOX_STATE_LOST: SandboxState
STATE_REASON_UNSPECIFIED: StateReason
STATE_REASON_DELETED: StateReason
STATE_REASON_LIFETIME_OVER: StateReason
STATE_REASON_IDLE: StateReason
STATE_REASON_START_FAILED: StateReason
STATE_REASON_KILLED: StateReason
STATE_REASON_REMOVED: StateReason
STATE_REASON_OUT_OF_MEMORY: StateReason
STATE_REASON_SUPERVISOR_GONE: StateReason
STATE_REASON_NODE_DRAINED: StateReason
STATE_REASON_NODE_LOST: StateReason
HEALTH_STATE_UNSPECIFIED: HealthState
HEALTH_STATE_HEALTHY: HealthState
HEALTH_STATE_UNRESPONSIVE: HealthState
HEALTH_STATE_NOT_RUNNING: HealthState

class Limits(_message.Message):
    __slots__ = ("cpu", "memory_bytes", "disk_bytes", "pids")
    CPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    PIDS_FIELD_NUMBER: _ClassVar[int]
    cpu: float
    memory_bytes: int
    disk_bytes: int
    pids: int
    def __init__(self, cpu: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., pids: _Optional[int] = ...) -> None: ...

class Sandbox(_message.Message):
    __slots__ = ("name", "agent", "agent_type", "image", "image_digest", "state", "state_reason", "state_message", "profile", "agent_type_known", "limits", "tier", "network_mode", "gated", "allowed_domains", "labels", "create_time", "expire_time", "idle_timeout", "active_time", "end_time", "etag", "node", "trace_id", "warnings")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    STATE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_KNOWN_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    NETWORK_MODE_FIELD_NUMBER: _ClassVar[int]
    GATED_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_DOMAINS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    agent: str
    agent_type: str
    image: str
    image_digest: str
    state: SandboxState
    state_reason: StateReason
    state_message: str
    profile: str
    agent_type_known: bool
    limits: Limits
    tier: Tier
    network_mode: NetworkMode
    gated: bool
    allowed_domains: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    idle_timeout: _duration_pb2.Duration
    active_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    etag: str
    node: str
    trace_id: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., agent: _Optional[str] = ..., agent_type: _Optional[str] = ..., image: _Optional[str] = ..., image_digest: _Optional[str] = ..., state: _Optional[_Union[SandboxState, str]] = ..., state_reason: _Optional[_Union[StateReason, str]] = ..., state_message: _Optional[str] = ..., profile: _Optional[str] = ..., agent_type_known: _Optional[bool] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., tier: _Optional[_Union[Tier, str]] = ..., network_mode: _Optional[_Union[NetworkMode, str]] = ..., gated: _Optional[bool] = ..., allowed_domains: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., active_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., node: _Optional[str] = ..., trace_id: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class SandboxUsage(_message.Message):
    __slots__ = ("read_time", "cpu", "memory", "pids", "disk", "network")
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    PIDS_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    read_time: _timestamp_pb2.Timestamp
    cpu: CpuUsage
    memory: MemoryUsage
    pids: PidsUsage
    disk: DiskUsage
    network: NetworkUsage
    def __init__(self, read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cpu: _Optional[_Union[CpuUsage, _Mapping]] = ..., memory: _Optional[_Union[MemoryUsage, _Mapping]] = ..., pids: _Optional[_Union[PidsUsage, _Mapping]] = ..., disk: _Optional[_Union[DiskUsage, _Mapping]] = ..., network: _Optional[_Union[NetworkUsage, _Mapping]] = ...) -> None: ...

class CpuUsage(_message.Message):
    __slots__ = ("total", "user", "system", "periods", "throttled_periods", "throttled")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_PERIODS_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_FIELD_NUMBER: _ClassVar[int]
    total: _duration_pb2.Duration
    user: _duration_pb2.Duration
    system: _duration_pb2.Duration
    periods: int
    throttled_periods: int
    throttled: _duration_pb2.Duration
    def __init__(self, total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., user: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., system: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., periods: _Optional[int] = ..., throttled_periods: _Optional[int] = ..., throttled: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class MemoryUsage(_message.Message):
    __slots__ = ("used_bytes", "peak_bytes", "cache_bytes", "swap_bytes", "limit_bytes", "oom_kills")
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SWAP_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLS_FIELD_NUMBER: _ClassVar[int]
    used_bytes: int
    peak_bytes: int
    cache_bytes: int
    swap_bytes: int
    limit_bytes: int
    oom_kills: int
    def __init__(self, used_bytes: _Optional[int] = ..., peak_bytes: _Optional[int] = ..., cache_bytes: _Optional[int] = ..., swap_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., oom_kills: _Optional[int] = ...) -> None: ...

class PidsUsage(_message.Message):
    __slots__ = ("used", "limit", "refused")
    USED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    used: int
    limit: int
    refused: int
    def __init__(self, used: _Optional[int] = ..., limit: _Optional[int] = ..., refused: _Optional[int] = ...) -> None: ...

class DiskUsage(_message.Message):
    __slots__ = ("used_bytes", "limit_bytes", "used_inodes", "limit_inodes")
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_INODES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_INODES_FIELD_NUMBER: _ClassVar[int]
    used_bytes: int
    limit_bytes: int
    used_inodes: int
    limit_inodes: int
    def __init__(self, used_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., used_inodes: _Optional[int] = ..., limit_inodes: _Optional[int] = ...) -> None: ...

class NetworkUsage(_message.Message):
    __slots__ = ("sent_bytes", "received_bytes", "allowed_requests", "refused_requests")
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    sent_bytes: int
    received_bytes: int
    allowed_requests: int
    refused_requests: int
    def __init__(self, sent_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., allowed_requests: _Optional[int] = ..., refused_requests: _Optional[int] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("name", "sandbox", "agent", "agent_type", "image", "tier", "with_memory", "size_bytes", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    WITH_MEMORY_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    sandbox: str
    agent: str
    agent_type: str
    image: str
    tier: Tier
    with_memory: bool
    size_bytes: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., sandbox: _Optional[str] = ..., agent: _Optional[str] = ..., agent_type: _Optional[str] = ..., image: _Optional[str] = ..., tier: _Optional[_Union[Tier, str]] = ..., with_memory: _Optional[bool] = ..., size_bytes: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
