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

class Dtype(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[Dtype]
    DTYPE_F32: _ClassVar[Dtype]
    DTYPE_F16: _ClassVar[Dtype]
    DTYPE_INT8: _ClassVar[Dtype]

class RowFault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROW_FAULT_UNSPECIFIED: _ClassVar[RowFault]
    ROW_FAULT_NAN: _ClassVar[RowFault]
    ROW_FAULT_INFINITE: _ClassVar[RowFault]
    ROW_FAULT_ZERO: _ClassVar[RowFault]
    ROW_FAULT_SIZE: _ClassVar[RowFault]
    ROW_FAULT_FORMAT: _ClassVar[RowFault]
    ROW_FAULT_QUOTA: _ClassVar[RowFault]
    ROW_FAULT_NOT_FOUND: _ClassVar[RowFault]
DTYPE_UNSPECIFIED: Dtype
DTYPE_F32: Dtype
DTYPE_F16: Dtype
DTYPE_INT8: Dtype
ROW_FAULT_UNSPECIFIED: RowFault
ROW_FAULT_NAN: RowFault
ROW_FAULT_INFINITE: RowFault
ROW_FAULT_ZERO: RowFault
ROW_FAULT_SIZE: RowFault
ROW_FAULT_FORMAT: RowFault
ROW_FAULT_QUOTA: RowFault
ROW_FAULT_NOT_FOUND: RowFault

class VectorFormat(_message.Message):
    __slots__ = ("dimensions", "dtype")
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    dimensions: int
    dtype: Dtype
    def __init__(self, dimensions: _Optional[int] = ..., dtype: _Optional[_Union[Dtype, str]] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("format", "data")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    format: VectorFormat
    data: bytes
    def __init__(self, format: _Optional[_Union[VectorFormat, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Rows(_message.Message):
    __slots__ = ("format", "vectors", "sizes")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    format: VectorFormat
    vectors: bytes
    sizes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, format: _Optional[_Union[VectorFormat, _Mapping]] = ..., vectors: _Optional[bytes] = ..., sizes: _Optional[_Iterable[int]] = ...) -> None: ...

class RowError(_message.Message):
    __slots__ = ("row", "fault", "message")
    ROW_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    row: int
    fault: RowFault
    message: str
    def __init__(self, row: _Optional[int] = ..., fault: _Optional[_Union[RowFault, str]] = ..., message: _Optional[str] = ...) -> None: ...

class LayerEpoch(_message.Message):
    __slots__ = ("layer", "epoch")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    layer: str
    epoch: int
    def __init__(self, layer: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class LayerSize(_message.Message):
    __slots__ = ("layer", "entries", "bytes", "max_entries", "max_bytes")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    layer: str
    entries: int
    bytes: int
    max_entries: int
    max_bytes: int
    def __init__(self, layer: _Optional[str] = ..., entries: _Optional[int] = ..., bytes: _Optional[int] = ..., max_entries: _Optional[int] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class EntryInfo(_message.Message):
    __slots__ = ("key", "format", "writer", "create_time", "expire_time")
    KEY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    format: VectorFormat
    writer: str
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[bytes] = ..., format: _Optional[_Union[VectorFormat, _Mapping]] = ..., writer: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
