import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stockade.audit.v1 import entry_pb2 as _entry_pb2
from stockade.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_INTACT: _ClassVar[Verdict]
    VERDICT_ENTRY_CHANGED: _ClassVar[Verdict]
    VERDICT_TAIL_CUT: _ClassVar[Verdict]
    VERDICT_SEGMENT_MISSING: _ClassVar[Verdict]
    VERDICT_JOURNAL_MISSING: _ClassVar[Verdict]
    VERDICT_FORKED: _ClassVar[Verdict]
    VERDICT_SIGNATURE_WRONG: _ClassVar[Verdict]
    VERDICT_INDEX_WRONG: _ClassVar[Verdict]
    VERDICT_HEADS_WRONG: _ClassVar[Verdict]
    VERDICT_COPY_WRONG: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
VERDICT_INTACT: Verdict
VERDICT_ENTRY_CHANGED: Verdict
VERDICT_TAIL_CUT: Verdict
VERDICT_SEGMENT_MISSING: Verdict
VERDICT_JOURNAL_MISSING: Verdict
VERDICT_FORKED: Verdict
VERDICT_SIGNATURE_WRONG: Verdict
VERDICT_INDEX_WRONG: Verdict
VERDICT_HEADS_WRONG: Verdict
VERDICT_COPY_WRONG: Verdict

class VerifyRecordRequest(_message.Message):
    __slots__ = ("journals",)
    JOURNALS_FIELD_NUMBER: _ClassVar[int]
    journals: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, journals: _Optional[_Iterable[str]] = ...) -> None: ...

class VerifyRecordResponse(_message.Message):
    __slots__ = ("journal", "verdict", "size", "root", "first_bad_position", "detail", "witnessed_size", "witnessed_sequence")
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    FIRST_BAD_POSITION_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    WITNESSED_SIZE_FIELD_NUMBER: _ClassVar[int]
    WITNESSED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    journal: str
    verdict: Verdict
    size: int
    root: bytes
    first_bad_position: int
    detail: str
    witnessed_size: int
    witnessed_sequence: int
    def __init__(self, journal: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., size: _Optional[int] = ..., root: _Optional[bytes] = ..., first_bad_position: _Optional[int] = ..., detail: _Optional[str] = ..., witnessed_size: _Optional[int] = ..., witnessed_sequence: _Optional[int] = ...) -> None: ...

class GetInclusionProofRequest(_message.Message):
    __slots__ = ("id", "size")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    id: str
    size: int
    def __init__(self, id: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class GetInclusionProofResponse(_message.Message):
    __slots__ = ("journal", "position", "size", "root", "hashes", "indexed_through")
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    INDEXED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    journal: str
    position: int
    size: int
    root: bytes
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    indexed_through: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, journal: _Optional[str] = ..., position: _Optional[int] = ..., size: _Optional[int] = ..., root: _Optional[bytes] = ..., hashes: _Optional[_Iterable[bytes]] = ..., indexed_through: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class GetConsistencyProofRequest(_message.Message):
    __slots__ = ("journal", "old_size", "new_size")
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    OLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    NEW_SIZE_FIELD_NUMBER: _ClassVar[int]
    journal: str
    old_size: int
    new_size: int
    def __init__(self, journal: _Optional[str] = ..., old_size: _Optional[int] = ..., new_size: _Optional[int] = ...) -> None: ...

class GetConsistencyProofResponse(_message.Message):
    __slots__ = ("old_root", "new_size", "new_root", "hashes", "indexed_through")
    OLD_ROOT_FIELD_NUMBER: _ClassVar[int]
    NEW_SIZE_FIELD_NUMBER: _ClassVar[int]
    NEW_ROOT_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    INDEXED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    old_root: bytes
    new_size: int
    new_root: bytes
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    indexed_through: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, old_root: _Optional[bytes] = ..., new_size: _Optional[int] = ..., new_root: _Optional[bytes] = ..., hashes: _Optional[_Iterable[bytes]] = ..., indexed_through: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class JournalHead(_message.Message):
    __slots__ = ("journal", "size", "root", "key")
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    journal: str
    size: int
    root: bytes
    key: str
    def __init__(self, journal: _Optional[str] = ..., size: _Optional[int] = ..., root: _Optional[bytes] = ..., key: _Optional[str] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("sequence", "time", "journals", "note", "witnessed")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    JOURNALS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    WITNESSED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    journals: _containers.RepeatedCompositeFieldContainer[JournalHead]
    note: bytes
    witnessed: bool
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., journals: _Optional[_Iterable[_Union[JournalHead, _Mapping]]] = ..., note: _Optional[bytes] = ..., witnessed: _Optional[bool] = ...) -> None: ...

class ListHeadsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListHeadsResponse(_message.Message):
    __slots__ = ("heads", "next_page_token", "indexed_through")
    HEADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INDEXED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedCompositeFieldContainer[Head]
    next_page_token: str
    indexed_through: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, heads: _Optional[_Iterable[_Union[Head, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., indexed_through: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, keys: _Optional[_Iterable[str]] = ...) -> None: ...

class GetRecordStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRecordStatusResponse(_message.Message):
    __slots__ = ("journals", "sinks")
    JOURNALS_FIELD_NUMBER: _ClassVar[int]
    SINKS_FIELD_NUMBER: _ClassVar[int]
    journals: _containers.RepeatedCompositeFieldContainer[JournalStatus]
    sinks: _containers.RepeatedCompositeFieldContainer[SinkStatus]
    def __init__(self, journals: _Optional[_Iterable[_Union[JournalStatus, _Mapping]]] = ..., sinks: _Optional[_Iterable[_Union[SinkStatus, _Mapping]]] = ...) -> None: ...

class JournalStatus(_message.Message):
    __slots__ = ("journal", "indexed", "witnessed", "copied")
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    INDEXED_FIELD_NUMBER: _ClassVar[int]
    WITNESSED_FIELD_NUMBER: _ClassVar[int]
    COPIED_FIELD_NUMBER: _ClassVar[int]
    journal: str
    indexed: int
    witnessed: int
    copied: int
    def __init__(self, journal: _Optional[str] = ..., indexed: _Optional[int] = ..., witnessed: _Optional[int] = ..., copied: _Optional[int] = ...) -> None: ...

class SinkStatus(_message.Message):
    __slots__ = ("name", "behind", "lag", "problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    behind: int
    lag: _duration_pb2.Duration
    problem: str
    def __init__(self, name: _Optional[str] = ..., behind: _Optional[int] = ..., lag: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., problem: _Optional[str] = ...) -> None: ...

class RotateKeyRequest(_message.Message):
    __slots__ = ("journal",)
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    journal: str
    def __init__(self, journal: _Optional[str] = ...) -> None: ...

class RotateKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class BuildEvidenceRequest(_message.Message):
    __slots__ = ("start_time", "end_time", "seed", "sample_size")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_SIZE_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    seed: int
    sample_size: int
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seed: _Optional[int] = ..., sample_size: _Optional[int] = ...) -> None: ...

class BuildEvidenceResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class AddHeadRequest(_message.Message):
    __slots__ = ("note", "proofs", "key")
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    note: bytes
    proofs: _containers.RepeatedCompositeFieldContainer[JournalProof]
    key: str
    def __init__(self, note: _Optional[bytes] = ..., proofs: _Optional[_Iterable[_Union[JournalProof, _Mapping]]] = ..., key: _Optional[str] = ...) -> None: ...

class JournalProof(_message.Message):
    __slots__ = ("journal", "hashes")
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    journal: str
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, journal: _Optional[str] = ..., hashes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AddHeadResponse(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class GetLatestHeadRequest(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: str
    def __init__(self, origin: _Optional[str] = ...) -> None: ...

class GetLatestHeadResponse(_message.Message):
    __slots__ = ("head",)
    HEAD_FIELD_NUMBER: _ClassVar[int]
    head: Head
    def __init__(self, head: _Optional[_Union[Head, _Mapping]] = ...) -> None: ...

class ListWitnessedHeadsRequest(_message.Message):
    __slots__ = ("origin", "page_size", "page_token")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    origin: str
    page_size: int
    page_token: str
    def __init__(self, origin: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWitnessedHeadsResponse(_message.Message):
    __slots__ = ("heads", "next_page_token")
    HEADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedCompositeFieldContainer[Head]
    next_page_token: str
    def __init__(self, heads: _Optional[_Iterable[_Union[Head, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
