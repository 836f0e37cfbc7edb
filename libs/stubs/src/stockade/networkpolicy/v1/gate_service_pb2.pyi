import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
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

class GateState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GATE_STATE_UNSPECIFIED: _ClassVar[GateState]
    GATE_STATE_DISCONNECTED: _ClassVar[GateState]
    GATE_STATE_SYNCHRONISING: _ClassVar[GateState]
    GATE_STATE_READY: _ClassVar[GateState]
NETWORK_MODE_UNSPECIFIED: NetworkMode
NETWORK_MODE_ISOLATED: NetworkMode
NETWORK_MODE_WHITELISTED: NetworkMode
NETWORK_MODE_HOST: NetworkMode
GATE_STATE_UNSPECIFIED: GateState
GATE_STATE_DISCONNECTED: GateState
GATE_STATE_SYNCHRONISING: GateState
GATE_STATE_READY: GateState

class Door(_message.Message):
    __slots__ = ("sandbox", "agent", "agent_type", "egress_socket", "api_socket", "allowed_domains", "network_mode", "create_time", "cuts")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EGRESS_SOCKET_FIELD_NUMBER: _ClassVar[int]
    API_SOCKET_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_DOMAINS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_MODE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    agent: str
    agent_type: str
    egress_socket: str
    api_socket: str
    allowed_domains: _containers.RepeatedScalarFieldContainer[str]
    network_mode: NetworkMode
    create_time: _timestamp_pb2.Timestamp
    cuts: int
    def __init__(self, sandbox: _Optional[str] = ..., agent: _Optional[str] = ..., agent_type: _Optional[str] = ..., egress_socket: _Optional[str] = ..., api_socket: _Optional[str] = ..., allowed_domains: _Optional[_Iterable[str]] = ..., network_mode: _Optional[_Union[NetworkMode, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cuts: _Optional[int] = ...) -> None: ...

class OpenDoorRequest(_message.Message):
    __slots__ = ("door",)
    DOOR_FIELD_NUMBER: _ClassVar[int]
    door: Door
    def __init__(self, door: _Optional[_Union[Door, _Mapping]] = ...) -> None: ...

class OpenDoorResponse(_message.Message):
    __slots__ = ("door",)
    DOOR_FIELD_NUMBER: _ClassVar[int]
    door: Door
    def __init__(self, door: _Optional[_Union[Door, _Mapping]] = ...) -> None: ...

class UpdateDoorRequest(_message.Message):
    __slots__ = ("door", "update_mask")
    DOOR_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    door: Door
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, door: _Optional[_Union[Door, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateDoorResponse(_message.Message):
    __slots__ = ("door",)
    DOOR_FIELD_NUMBER: _ClassVar[int]
    door: Door
    def __init__(self, door: _Optional[_Union[Door, _Mapping]] = ...) -> None: ...

class CloseDoorRequest(_message.Message):
    __slots__ = ("sandbox",)
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    def __init__(self, sandbox: _Optional[str] = ...) -> None: ...

class CloseDoorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDoorsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDoorsResponse(_message.Message):
    __slots__ = ("doors", "next_page_token")
    DOORS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    doors: _containers.RepeatedCompositeFieldContainer[Door]
    next_page_token: str
    def __init__(self, doors: _Optional[_Iterable[_Union[Door, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDoorRequest(_message.Message):
    __slots__ = ("sandbox",)
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    def __init__(self, sandbox: _Optional[str] = ...) -> None: ...

class GetDoorResponse(_message.Message):
    __slots__ = ("door", "traffic")
    DOOR_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    door: Door
    traffic: DoorTraffic
    def __init__(self, door: _Optional[_Union[Door, _Mapping]] = ..., traffic: _Optional[_Union[DoorTraffic, _Mapping]] = ...) -> None: ...

class DoorTraffic(_message.Message):
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

class GetGateStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetGateStatusResponse(_message.Message):
    __slots__ = ("state", "envoy_version", "connect_time", "doors", "doors_ready", "last_refusal", "judged", "refused", "awaiting_outcome", "exceptions", "cut_within")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENVOY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    DOORS_FIELD_NUMBER: _ClassVar[int]
    DOORS_READY_FIELD_NUMBER: _ClassVar[int]
    LAST_REFUSAL_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    AWAITING_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    EXCEPTIONS_FIELD_NUMBER: _ClassVar[int]
    CUT_WITHIN_FIELD_NUMBER: _ClassVar[int]
    state: GateState
    envoy_version: str
    connect_time: _timestamp_pb2.Timestamp
    doors: int
    doors_ready: int
    last_refusal: str
    judged: int
    refused: int
    awaiting_outcome: int
    exceptions: _containers.RepeatedScalarFieldContainer[str]
    cut_within: _duration_pb2.Duration
    def __init__(self, state: _Optional[_Union[GateState, str]] = ..., envoy_version: _Optional[str] = ..., connect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., doors: _Optional[int] = ..., doors_ready: _Optional[int] = ..., last_refusal: _Optional[str] = ..., judged: _Optional[int] = ..., refused: _Optional[int] = ..., awaiting_outcome: _Optional[int] = ..., exceptions: _Optional[_Iterable[str]] = ..., cut_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CutTunnelsRequest(_message.Message):
    __slots__ = ("sandboxes",)
    SANDBOXES_FIELD_NUMBER: _ClassVar[int]
    sandboxes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sandboxes: _Optional[_Iterable[str]] = ...) -> None: ...

class CutTunnelsResponse(_message.Message):
    __slots__ = ("sandboxes",)
    SANDBOXES_FIELD_NUMBER: _ClassVar[int]
    sandboxes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sandboxes: _Optional[_Iterable[str]] = ...) -> None: ...
