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

class EntryOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTRY_ORDER_UNSPECIFIED: _ClassVar[EntryOrder]
    ENTRY_ORDER_NEWEST_FIRST: _ClassVar[EntryOrder]
    ENTRY_ORDER_OLDEST_FIRST: _ClassVar[EntryOrder]

class StatsDimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATS_DIMENSION_UNSPECIFIED: _ClassVar[StatsDimension]
    STATS_DIMENSION_ACTION: _ClassVar[StatsDimension]
    STATS_DIMENSION_AGENT: _ClassVar[StatsDimension]
    STATS_DIMENSION_AGENT_TYPE: _ClassVar[StatsDimension]
    STATS_DIMENSION_DOMAIN: _ClassVar[StatsDimension]
    STATS_DIMENSION_MINUTE: _ClassVar[StatsDimension]
    STATS_DIMENSION_SERVICE: _ClassVar[StatsDimension]

class ExportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_FORMAT_UNSPECIFIED: _ClassVar[ExportFormat]
    EXPORT_FORMAT_JSON: _ClassVar[ExportFormat]
    EXPORT_FORMAT_NDJSON: _ClassVar[ExportFormat]
    EXPORT_FORMAT_CSV: _ClassVar[ExportFormat]
    EXPORT_FORMAT_OCSF: _ClassVar[ExportFormat]
ENTRY_ORDER_UNSPECIFIED: EntryOrder
ENTRY_ORDER_NEWEST_FIRST: EntryOrder
ENTRY_ORDER_OLDEST_FIRST: EntryOrder
STATS_DIMENSION_UNSPECIFIED: StatsDimension
STATS_DIMENSION_ACTION: StatsDimension
STATS_DIMENSION_AGENT: StatsDimension
STATS_DIMENSION_AGENT_TYPE: StatsDimension
STATS_DIMENSION_DOMAIN: StatsDimension
STATS_DIMENSION_MINUTE: StatsDimension
STATS_DIMENSION_SERVICE: StatsDimension
EXPORT_FORMAT_UNSPECIFIED: ExportFormat
EXPORT_FORMAT_JSON: ExportFormat
EXPORT_FORMAT_NDJSON: ExportFormat
EXPORT_FORMAT_CSV: ExportFormat
EXPORT_FORMAT_OCSF: ExportFormat

class ListEntriesRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token", "order")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    filter: _entry_pb2.EntryFilter
    page_size: int
    page_token: str
    order: EntryOrder
    def __init__(self, filter: _Optional[_Union[_entry_pb2.EntryFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., order: _Optional[_Union[EntryOrder, str]] = ...) -> None: ...

class ListEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "indexed_through")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INDEXED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_entry_pb2.Entry]
    next_page_token: str
    indexed_through: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, entries: _Optional[_Iterable[_Union[_entry_pb2.Entry, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., indexed_through: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class GetEntryRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetEntryResponse(_message.Message):
    __slots__ = ("entry", "related", "indexed_through")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    RELATED_FIELD_NUMBER: _ClassVar[int]
    INDEXED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    entry: _entry_pb2.Entry
    related: _containers.RepeatedCompositeFieldContainer[_entry_pb2.Entry]
    indexed_through: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, entry: _Optional[_Union[_entry_pb2.Entry, _Mapping]] = ..., related: _Optional[_Iterable[_Union[_entry_pb2.Entry, _Mapping]]] = ..., indexed_through: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class TailEntriesRequest(_message.Message):
    __slots__ = ("filter", "backlog", "after")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    filter: _entry_pb2.EntryFilter
    backlog: int
    after: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, filter: _Optional[_Union[_entry_pb2.EntryFilter, _Mapping]] = ..., backlog: _Optional[int] = ..., after: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class TailEntriesResponse(_message.Message):
    __slots__ = ("entries", "indexed_through")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    INDEXED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_entry_pb2.Entry]
    indexed_through: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, entries: _Optional[_Iterable[_Union[_entry_pb2.Entry, _Mapping]]] = ..., indexed_through: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("start_time", "end_time", "group_by", "actions", "agents", "agent_types", "limit")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    group_by: _containers.RepeatedScalarFieldContainer[StatsDimension]
    actions: _containers.RepeatedScalarFieldContainer[_entry_pb2.Action]
    agents: _containers.RepeatedScalarFieldContainer[str]
    agent_types: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., group_by: _Optional[_Iterable[_Union[StatsDimension, str]]] = ..., actions: _Optional[_Iterable[_Union[_entry_pb2.Action, str]]] = ..., agents: _Optional[_Iterable[str]] = ..., agent_types: _Optional[_Iterable[str]] = ..., limit: _Optional[int] = ...) -> None: ...

class StatsRow(_message.Message):
    __slots__ = ("action", "agent", "agent_type", "domain", "minute", "service", "count", "bytes_sent", "bytes_received", "duration")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    MINUTE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    action: _entry_pb2.Action
    agent: str
    agent_type: str
    domain: str
    minute: _timestamp_pb2.Timestamp
    service: str
    count: int
    bytes_sent: int
    bytes_received: int
    duration: _duration_pb2.Duration
    def __init__(self, action: _Optional[_Union[_entry_pb2.Action, str]] = ..., agent: _Optional[str] = ..., agent_type: _Optional[str] = ..., domain: _Optional[str] = ..., minute: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., service: _Optional[str] = ..., count: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("rows", "total", "truncated", "indexed_through")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    INDEXED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[StatsRow]
    total: int
    truncated: bool
    indexed_through: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, rows: _Optional[_Iterable[_Union[StatsRow, _Mapping]]] = ..., total: _Optional[int] = ..., truncated: _Optional[bool] = ..., indexed_through: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class ExportEntriesRequest(_message.Message):
    __slots__ = ("filter", "format")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    filter: _entry_pb2.EntryFilter
    format: ExportFormat
    def __init__(self, filter: _Optional[_Union[_entry_pb2.EntryFilter, _Mapping]] = ..., format: _Optional[_Union[ExportFormat, str]] = ...) -> None: ...

class ExportEntriesResponse(_message.Message):
    __slots__ = ("chunk", "entries", "indexed_through")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    INDEXED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    entries: int
    indexed_through: _containers.RepeatedCompositeFieldContainer[_entry_pb2.IndexedThrough]
    def __init__(self, chunk: _Optional[bytes] = ..., entries: _Optional[int] = ..., indexed_through: _Optional[_Iterable[_Union[_entry_pb2.IndexedThrough, _Mapping]]] = ...) -> None: ...

class AppendEntryRequest(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: _entry_pb2.Entry
    def __init__(self, entry: _Optional[_Union[_entry_pb2.Entry, _Mapping]] = ...) -> None: ...

class AppendEntryResponse(_message.Message):
    __slots__ = ("id", "journal", "position")
    ID_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    id: str
    journal: str
    position: int
    def __init__(self, id: _Optional[str] = ..., journal: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class BatchAppendEntriesRequest(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_entry_pb2.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[_entry_pb2.Entry, _Mapping]]] = ...) -> None: ...

class BatchAppendEntriesResponse(_message.Message):
    __slots__ = ("ids", "journal", "position")
    IDS_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    journal: str
    position: int
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., journal: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...
