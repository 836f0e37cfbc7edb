import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stockade.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FindingKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINDING_KIND_UNSPECIFIED: _ClassVar[FindingKind]
    FINDING_KIND_BLOCK_SPIKE: _ClassVar[FindingKind]
    FINDING_KIND_VERIFICATION_FAILED: _ClassVar[FindingKind]
    FINDING_KIND_CLOCK_CHANGED: _ClassVar[FindingKind]
    FINDING_KIND_SINK_LAG: _ClassVar[FindingKind]
    FINDING_KIND_SANDBOX_ESCAPE: _ClassVar[FindingKind]
    FINDING_KIND_WITNESS_UNREACHABLE: _ClassVar[FindingKind]
    FINDING_KIND_RECORD_GAP: _ClassVar[FindingKind]

class FindingState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINDING_STATE_UNSPECIFIED: _ClassVar[FindingState]
    FINDING_STATE_OPEN: _ClassVar[FindingState]
    FINDING_STATE_ACKNOWLEDGED: _ClassVar[FindingState]
    FINDING_STATE_DISPOSED: _ClassVar[FindingState]

class Disposition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISPOSITION_UNSPECIFIED: _ClassVar[Disposition]
    DISPOSITION_RESOLVED: _ClassVar[Disposition]
    DISPOSITION_FALSE_POSITIVE: _ClassVar[Disposition]
    DISPOSITION_ACCEPTED: _ClassVar[Disposition]
FINDING_KIND_UNSPECIFIED: FindingKind
FINDING_KIND_BLOCK_SPIKE: FindingKind
FINDING_KIND_VERIFICATION_FAILED: FindingKind
FINDING_KIND_CLOCK_CHANGED: FindingKind
FINDING_KIND_SINK_LAG: FindingKind
FINDING_KIND_SANDBOX_ESCAPE: FindingKind
FINDING_KIND_WITNESS_UNREACHABLE: FindingKind
FINDING_KIND_RECORD_GAP: FindingKind
FINDING_STATE_UNSPECIFIED: FindingState
FINDING_STATE_OPEN: FindingState
FINDING_STATE_ACKNOWLEDGED: FindingState
FINDING_STATE_DISPOSED: FindingState
DISPOSITION_UNSPECIFIED: Disposition
DISPOSITION_RESOLVED: Disposition
DISPOSITION_FALSE_POSITIVE: Disposition
DISPOSITION_ACCEPTED: Disposition

class Finding(_message.Message):
    __slots__ = ("id", "kind", "state", "time", "subject", "summary", "entry_ids", "disposition", "note", "etag")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ENTRY_IDS_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: FindingKind
    state: FindingState
    time: _timestamp_pb2.Timestamp
    subject: str
    summary: str
    entry_ids: _containers.RepeatedScalarFieldContainer[str]
    disposition: Disposition
    note: str
    etag: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[FindingKind, str]] = ..., state: _Optional[_Union[FindingState, str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subject: _Optional[str] = ..., summary: _Optional[str] = ..., entry_ids: _Optional[_Iterable[str]] = ..., disposition: _Optional[_Union[Disposition, str]] = ..., note: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class ListFindingsRequest(_message.Message):
    __slots__ = ("states", "page_size", "page_token")
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[FindingState]
    page_size: int
    page_token: str
    def __init__(self, states: _Optional[_Iterable[_Union[FindingState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFindingsResponse(_message.Message):
    __slots__ = ("findings", "next_page_token")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    next_page_token: str
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AcknowledgeFindingRequest(_message.Message):
    __slots__ = ("id", "note")
    ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    id: str
    note: str
    def __init__(self, id: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class AcknowledgeFindingResponse(_message.Message):
    __slots__ = ("finding",)
    FINDING_FIELD_NUMBER: _ClassVar[int]
    finding: Finding
    def __init__(self, finding: _Optional[_Union[Finding, _Mapping]] = ...) -> None: ...

class DisposeFindingRequest(_message.Message):
    __slots__ = ("id", "disposition", "note")
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    id: str
    disposition: Disposition
    note: str
    def __init__(self, id: _Optional[str] = ..., disposition: _Optional[_Union[Disposition, str]] = ..., note: _Optional[str] = ...) -> None: ...

class DisposeFindingResponse(_message.Message):
    __slots__ = ("finding",)
    FINDING_FIELD_NUMBER: _ClassVar[int]
    finding: Finding
    def __init__(self, finding: _Optional[_Union[Finding, _Mapping]] = ...) -> None: ...
