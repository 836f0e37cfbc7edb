import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stockade.audit.v1 import integrity_service_pb2 as _integrity_service_pb2
from stockade.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VerifyFleetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyFleetResponse(_message.Message):
    __slots__ = ("node", "is_fleet", "journal", "verdict", "size", "first_bad_position", "detail")
    NODE_FIELD_NUMBER: _ClassVar[int]
    IS_FLEET_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FIRST_BAD_POSITION_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    node: str
    is_fleet: bool
    journal: str
    verdict: _integrity_service_pb2.Verdict
    size: int
    first_bad_position: int
    detail: str
    def __init__(self, node: _Optional[str] = ..., is_fleet: _Optional[bool] = ..., journal: _Optional[str] = ..., verdict: _Optional[_Union[_integrity_service_pb2.Verdict, str]] = ..., size: _Optional[int] = ..., first_bad_position: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class ListFleetNodesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFleetNodesResponse(_message.Message):
    __slots__ = ("nodes", "next_page_token", "note", "key", "problem")
    NODES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[FleetNode]
    next_page_token: str
    note: bytes
    key: str
    problem: str
    def __init__(self, nodes: _Optional[_Iterable[_Union[FleetNode, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., note: _Optional[bytes] = ..., key: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class FleetNode(_message.Message):
    __slots__ = ("node", "sequence", "time", "retired", "problem")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    node: str
    sequence: int
    time: _timestamp_pb2.Timestamp
    retired: bool
    problem: str
    def __init__(self, node: _Optional[str] = ..., sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retired: _Optional[bool] = ..., problem: _Optional[str] = ...) -> None: ...

class RetireFleetNodeRequest(_message.Message):
    __slots__ = ("node", "justification")
    NODE_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    node: str
    justification: str
    def __init__(self, node: _Optional[str] = ..., justification: _Optional[str] = ...) -> None: ...

class RetireFleetNodeResponse(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: FleetNode
    def __init__(self, node: _Optional[_Union[FleetNode, _Mapping]] = ...) -> None: ...
