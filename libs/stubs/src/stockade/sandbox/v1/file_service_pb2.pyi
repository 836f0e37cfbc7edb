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

class FileInfo(_message.Message):
    __slots__ = ("path", "kind", "size_bytes", "mode", "modify_time", "link_target")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[FileInfo.Kind]
        KIND_FILE: _ClassVar[FileInfo.Kind]
        KIND_DIRECTORY: _ClassVar[FileInfo.Kind]
        KIND_LINK: _ClassVar[FileInfo.Kind]
        KIND_OTHER: _ClassVar[FileInfo.Kind]
    KIND_UNSPECIFIED: FileInfo.Kind
    KIND_FILE: FileInfo.Kind
    KIND_DIRECTORY: FileInfo.Kind
    KIND_LINK: FileInfo.Kind
    KIND_OTHER: FileInfo.Kind
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MODIFY_TIME_FIELD_NUMBER: _ClassVar[int]
    LINK_TARGET_FIELD_NUMBER: _ClassVar[int]
    path: str
    kind: FileInfo.Kind
    size_bytes: int
    mode: int
    modify_time: _timestamp_pb2.Timestamp
    link_target: str
    def __init__(self, path: _Optional[str] = ..., kind: _Optional[_Union[FileInfo.Kind, str]] = ..., size_bytes: _Optional[int] = ..., mode: _Optional[int] = ..., modify_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., link_target: _Optional[str] = ...) -> None: ...

class ReadFileRequest(_message.Message):
    __slots__ = ("sandbox", "path", "offset", "length")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    offset: int
    length: int
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class ReadFileResponse(_message.Message):
    __slots__ = ("info", "data")
    INFO_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    info: FileInfo
    data: bytes
    def __init__(self, info: _Optional[_Union[FileInfo, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class WriteFileStart(_message.Message):
    __slots__ = ("sandbox", "path", "mode", "append", "parents")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    APPEND_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    mode: int
    append: bool
    parents: bool
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ..., mode: _Optional[int] = ..., append: _Optional[bool] = ..., parents: _Optional[bool] = ...) -> None: ...

class WriteFileRequest(_message.Message):
    __slots__ = ("start", "data", "finish")
    START_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    start: WriteFileStart
    data: bytes
    finish: bool
    def __init__(self, start: _Optional[_Union[WriteFileStart, _Mapping]] = ..., data: _Optional[bytes] = ..., finish: _Optional[bool] = ...) -> None: ...

class WriteFileResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: FileInfo
    def __init__(self, info: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class StatFileRequest(_message.Message):
    __slots__ = ("sandbox", "path")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class StatFileResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: FileInfo
    def __init__(self, info: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("sandbox", "path", "page_size", "page_token")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    page_size: int
    page_token: str
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("files", "next_page_token")
    FILES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[FileInfo]
    next_page_token: str
    def __init__(self, files: _Optional[_Iterable[_Union[FileInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class MakeDirectoryRequest(_message.Message):
    __slots__ = ("sandbox", "path", "parents", "mode")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    parents: bool
    mode: int
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ..., parents: _Optional[bool] = ..., mode: _Optional[int] = ...) -> None: ...

class MakeDirectoryResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: FileInfo
    def __init__(self, info: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class MoveFileRequest(_message.Message):
    __slots__ = ("sandbox", "source", "destination", "replace")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    source: str
    destination: str
    replace: bool
    def __init__(self, sandbox: _Optional[str] = ..., source: _Optional[str] = ..., destination: _Optional[str] = ..., replace: _Optional[bool] = ...) -> None: ...

class MoveFileResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: FileInfo
    def __init__(self, info: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class RemoveFileRequest(_message.Message):
    __slots__ = ("sandbox", "path", "recursive", "allow_missing")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    recursive: bool
    allow_missing: bool
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ..., recursive: _Optional[bool] = ..., allow_missing: _Optional[bool] = ...) -> None: ...

class RemoveFileResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchFilesRequest(_message.Message):
    __slots__ = ("sandbox", "path", "recursive")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    recursive: bool
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ..., recursive: _Optional[bool] = ...) -> None: ...

class FileChange(_message.Message):
    __slots__ = ("kind", "path", "directory")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[FileChange.Kind]
        KIND_CREATED: _ClassVar[FileChange.Kind]
        KIND_WRITTEN: _ClassVar[FileChange.Kind]
        KIND_ATTRIBUTES: _ClassVar[FileChange.Kind]
        KIND_REMOVED: _ClassVar[FileChange.Kind]
    KIND_UNSPECIFIED: FileChange.Kind
    KIND_CREATED: FileChange.Kind
    KIND_WRITTEN: FileChange.Kind
    KIND_ATTRIBUTES: FileChange.Kind
    KIND_REMOVED: FileChange.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    kind: FileChange.Kind
    path: str
    directory: bool
    def __init__(self, kind: _Optional[_Union[FileChange.Kind, str]] = ..., path: _Optional[str] = ..., directory: _Optional[bool] = ...) -> None: ...

class WatchFilesResponse(_message.Message):
    __slots__ = ("changes", "overflow")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    OVERFLOW_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[FileChange]
    overflow: bool
    def __init__(self, changes: _Optional[_Iterable[_Union[FileChange, _Mapping]]] = ..., overflow: _Optional[bool] = ...) -> None: ...

class UploadArchiveStart(_message.Message):
    __slots__ = ("sandbox", "path", "max_bytes", "max_files")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_FILES_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    max_bytes: int
    max_files: int
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ..., max_bytes: _Optional[int] = ..., max_files: _Optional[int] = ...) -> None: ...

class UploadArchiveRequest(_message.Message):
    __slots__ = ("start", "data")
    START_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    start: UploadArchiveStart
    data: bytes
    def __init__(self, start: _Optional[_Union[UploadArchiveStart, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class UploadArchiveResponse(_message.Message):
    __slots__ = ("files", "unpacked_bytes")
    FILES_FIELD_NUMBER: _ClassVar[int]
    UNPACKED_BYTES_FIELD_NUMBER: _ClassVar[int]
    files: int
    unpacked_bytes: int
    def __init__(self, files: _Optional[int] = ..., unpacked_bytes: _Optional[int] = ...) -> None: ...

class DownloadArchiveRequest(_message.Message):
    __slots__ = ("sandbox", "path", "gzip")
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    GZIP_FIELD_NUMBER: _ClassVar[int]
    sandbox: str
    path: str
    gzip: bool
    def __init__(self, sandbox: _Optional[str] = ..., path: _Optional[str] = ..., gzip: _Optional[bool] = ...) -> None: ...

class DownloadArchiveResponse(_message.Message):
    __slots__ = ("data", "summary")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    summary: ArchiveSummary
    def __init__(self, data: _Optional[bytes] = ..., summary: _Optional[_Union[ArchiveSummary, _Mapping]] = ...) -> None: ...

class ArchiveSummary(_message.Message):
    __slots__ = ("files", "content_bytes", "skipped")
    FILES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    files: int
    content_bytes: int
    skipped: int
    def __init__(self, files: _Optional[int] = ..., content_bytes: _Optional[int] = ..., skipped: _Optional[int] = ...) -> None: ...
