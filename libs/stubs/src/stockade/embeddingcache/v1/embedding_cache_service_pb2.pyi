import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stockade.embeddingcache.v1 import vector_pb2 as _vector_pb2
from stockade.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetRequest(_message.Message):
    __slots__ = ("layer", "key")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    layer: str
    key: bytes
    def __init__(self, layer: _Optional[str] = ..., key: _Optional[bytes] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("vector", "layer", "expire_time", "epochs")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    vector: _vector_pb2.Vector
    layer: str
    expire_time: _timestamp_pb2.Timestamp
    epochs: _containers.RepeatedCompositeFieldContainer[_vector_pb2.LayerEpoch]
    def __init__(self, vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., layer: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., epochs: _Optional[_Iterable[_Union[_vector_pb2.LayerEpoch, _Mapping]]] = ...) -> None: ...

class PutRequest(_message.Message):
    __slots__ = ("layer", "key", "vector", "ttl")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    layer: str
    key: bytes
    vector: _vector_pb2.Vector
    ttl: _duration_pb2.Duration
    def __init__(self, layer: _Optional[str] = ..., key: _Optional[bytes] = ..., vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PutResponse(_message.Message):
    __slots__ = ("expire_time", "epoch")
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    expire_time: _timestamp_pb2.Timestamp
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class HasRequest(_message.Message):
    __slots__ = ("layer", "keys")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    layer: str
    keys: bytes
    def __init__(self, layer: _Optional[str] = ..., keys: _Optional[bytes] = ...) -> None: ...

class HasResponse(_message.Message):
    __slots__ = ("hits", "epochs")
    HITS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    hits: bytes
    epochs: _containers.RepeatedCompositeFieldContainer[_vector_pb2.LayerEpoch]
    def __init__(self, hits: _Optional[bytes] = ..., epochs: _Optional[_Iterable[_Union[_vector_pb2.LayerEpoch, _Mapping]]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("layer", "keys")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    layer: str
    keys: bytes
    def __init__(self, layer: _Optional[str] = ..., keys: _Optional[bytes] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("deleted_count", "epoch")
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, deleted_count: _Optional[int] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class BatchGetRequest(_message.Message):
    __slots__ = ("layer", "keys", "format")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    layer: str
    keys: bytes
    format: _vector_pb2.VectorFormat
    def __init__(self, layer: _Optional[str] = ..., keys: _Optional[bytes] = ..., format: _Optional[_Union[_vector_pb2.VectorFormat, _Mapping]] = ...) -> None: ...

class BatchGetResponse(_message.Message):
    __slots__ = ("hits", "vectors", "errors", "epochs")
    HITS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    hits: bytes
    vectors: bytes
    errors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.RowError]
    epochs: _containers.RepeatedCompositeFieldContainer[_vector_pb2.LayerEpoch]
    def __init__(self, hits: _Optional[bytes] = ..., vectors: _Optional[bytes] = ..., errors: _Optional[_Iterable[_Union[_vector_pb2.RowError, _Mapping]]] = ..., epochs: _Optional[_Iterable[_Union[_vector_pb2.LayerEpoch, _Mapping]]] = ...) -> None: ...

class BatchPutRequest(_message.Message):
    __slots__ = ("layer", "keys", "rows", "ttl")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    layer: str
    keys: bytes
    rows: _vector_pb2.Rows
    ttl: _duration_pb2.Duration
    def __init__(self, layer: _Optional[str] = ..., keys: _Optional[bytes] = ..., rows: _Optional[_Union[_vector_pb2.Rows, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class BatchPutResponse(_message.Message):
    __slots__ = ("stored", "errors", "epoch")
    STORED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    stored: bytes
    errors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.RowError]
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, stored: _Optional[bytes] = ..., errors: _Optional[_Iterable[_Union[_vector_pb2.RowError, _Mapping]]] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class StreamGetRequest(_message.Message):
    __slots__ = ("layer", "keys", "format")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    layer: str
    keys: bytes
    format: _vector_pb2.VectorFormat
    def __init__(self, layer: _Optional[str] = ..., keys: _Optional[bytes] = ..., format: _Optional[_Union[_vector_pb2.VectorFormat, _Mapping]] = ...) -> None: ...

class StreamGetResponse(_message.Message):
    __slots__ = ("row_count", "hits", "vectors", "errors", "epochs")
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    row_count: int
    hits: bytes
    vectors: bytes
    errors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.RowError]
    epochs: _containers.RepeatedCompositeFieldContainer[_vector_pb2.LayerEpoch]
    def __init__(self, row_count: _Optional[int] = ..., hits: _Optional[bytes] = ..., vectors: _Optional[bytes] = ..., errors: _Optional[_Iterable[_Union[_vector_pb2.RowError, _Mapping]]] = ..., epochs: _Optional[_Iterable[_Union[_vector_pb2.LayerEpoch, _Mapping]]] = ...) -> None: ...

class StreamPutRequest(_message.Message):
    __slots__ = ("layer", "keys", "rows", "ttl")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    layer: str
    keys: bytes
    rows: _vector_pb2.Rows
    ttl: _duration_pb2.Duration
    def __init__(self, layer: _Optional[str] = ..., keys: _Optional[bytes] = ..., rows: _Optional[_Union[_vector_pb2.Rows, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StreamPutResponse(_message.Message):
    __slots__ = ("stored", "errors", "epoch")
    STORED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    stored: bytes
    errors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.RowError]
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, stored: _Optional[bytes] = ..., errors: _Optional[_Iterable[_Union[_vector_pb2.RowError, _Mapping]]] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("layer", "keys", "source_layer", "rows", "ttl")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LAYER_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    layer: str
    keys: bytes
    source_layer: str
    rows: _vector_pb2.Rows
    ttl: _duration_pb2.Duration
    def __init__(self, layer: _Optional[str] = ..., keys: _Optional[bytes] = ..., source_layer: _Optional[str] = ..., rows: _Optional[_Union[_vector_pb2.Rows, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("stored", "errors", "epoch")
    STORED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    stored: bytes
    errors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.RowError]
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, stored: _Optional[bytes] = ..., errors: _Optional[_Iterable[_Union[_vector_pb2.RowError, _Mapping]]] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class LeaseComputeRequest(_message.Message):
    __slots__ = ("layer", "keys", "format", "lease_ttl", "wait")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    layer: str
    keys: bytes
    format: _vector_pb2.VectorFormat
    lease_ttl: _duration_pb2.Duration
    wait: _duration_pb2.Duration
    def __init__(self, layer: _Optional[str] = ..., keys: _Optional[bytes] = ..., format: _Optional[_Union[_vector_pb2.VectorFormat, _Mapping]] = ..., lease_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class LeaseComputeResponse(_message.Message):
    __slots__ = ("hits", "vectors", "granted", "lease_id", "lease_expire_time", "errors", "epochs")
    HITS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    hits: bytes
    vectors: bytes
    granted: bytes
    lease_id: str
    lease_expire_time: _timestamp_pb2.Timestamp
    errors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.RowError]
    epochs: _containers.RepeatedCompositeFieldContainer[_vector_pb2.LayerEpoch]
    def __init__(self, hits: _Optional[bytes] = ..., vectors: _Optional[bytes] = ..., granted: _Optional[bytes] = ..., lease_id: _Optional[str] = ..., lease_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., errors: _Optional[_Iterable[_Union[_vector_pb2.RowError, _Mapping]]] = ..., epochs: _Optional[_Iterable[_Union[_vector_pb2.LayerEpoch, _Mapping]]] = ...) -> None: ...

class CompleteComputeRequest(_message.Message):
    __slots__ = ("layer", "lease_id", "keys", "rows", "ttl")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    layer: str
    lease_id: str
    keys: bytes
    rows: _vector_pb2.Rows
    ttl: _duration_pb2.Duration
    def __init__(self, layer: _Optional[str] = ..., lease_id: _Optional[str] = ..., keys: _Optional[bytes] = ..., rows: _Optional[_Union[_vector_pb2.Rows, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CompleteComputeResponse(_message.Message):
    __slots__ = ("stored", "errors", "epoch")
    STORED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    stored: bytes
    errors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.RowError]
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, stored: _Optional[bytes] = ..., errors: _Optional[_Iterable[_Union[_vector_pb2.RowError, _Mapping]]] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class ReleaseComputeRequest(_message.Message):
    __slots__ = ("layer", "lease_id", "keys")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    layer: str
    lease_id: str
    keys: bytes
    def __init__(self, layer: _Optional[str] = ..., lease_id: _Optional[str] = ..., keys: _Optional[bytes] = ...) -> None: ...

class ReleaseComputeResponse(_message.Message):
    __slots__ = ("released_count",)
    RELEASED_COUNT_FIELD_NUMBER: _ClassVar[int]
    released_count: int
    def __init__(self, released_count: _Optional[int] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ("layer", "writer", "page_size", "page_token")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    layer: str
    writer: str
    page_size: int
    page_token: str
    def __init__(self, layer: _Optional[str] = ..., writer: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "epoch")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_vector_pb2.EntryInfo]
    next_page_token: str
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, entries: _Optional[_Iterable[_Union[_vector_pb2.EntryInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class GetSizeRequest(_message.Message):
    __slots__ = ("layer",)
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: str
    def __init__(self, layer: _Optional[str] = ...) -> None: ...

class GetSizeResponse(_message.Message):
    __slots__ = ("size", "epoch")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    size: _vector_pb2.LayerSize
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, size: _Optional[_Union[_vector_pb2.LayerSize, _Mapping]] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class ClearLayerRequest(_message.Message):
    __slots__ = ("layer",)
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: str
    def __init__(self, layer: _Optional[str] = ...) -> None: ...

class ClearLayerResponse(_message.Message):
    __slots__ = ("cleared_count", "epoch")
    CLEARED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    cleared_count: int
    epoch: _vector_pb2.LayerEpoch
    def __init__(self, cleared_count: _Optional[int] = ..., epoch: _Optional[_Union[_vector_pb2.LayerEpoch, _Mapping]] = ...) -> None: ...

class ClearWriterRequest(_message.Message):
    __slots__ = ("writer", "layer")
    WRITER_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    writer: str
    layer: str
    def __init__(self, writer: _Optional[str] = ..., layer: _Optional[str] = ...) -> None: ...

class ClearWriterResponse(_message.Message):
    __slots__ = ("cleared_count", "epochs")
    CLEARED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    cleared_count: int
    epochs: _containers.RepeatedCompositeFieldContainer[_vector_pb2.LayerEpoch]
    def __init__(self, cleared_count: _Optional[int] = ..., epochs: _Optional[_Iterable[_Union[_vector_pb2.LayerEpoch, _Mapping]]] = ...) -> None: ...

class PruneRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PruneResponse(_message.Message):
    __slots__ = ("pruned_count", "pruned_bytes")
    PRUNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PRUNED_BYTES_FIELD_NUMBER: _ClassVar[int]
    pruned_count: int
    pruned_bytes: int
    def __init__(self, pruned_count: _Optional[int] = ..., pruned_bytes: _Optional[int] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("page_size",)
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    def __init__(self, page_size: _Optional[int] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("start_time", "hits", "misses", "puts", "refused_rows", "evictions", "pruned", "damaged", "leases_granted", "backend", "degraded", "degraded_since", "total", "layers")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    PUTS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_ROWS_FIELD_NUMBER: _ClassVar[int]
    EVICTIONS_FIELD_NUMBER: _ClassVar[int]
    PRUNED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    LEASES_GRANTED_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_SINCE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    hits: int
    misses: int
    puts: int
    refused_rows: int
    evictions: int
    pruned: int
    damaged: int
    leases_granted: int
    backend: str
    degraded: bool
    degraded_since: _timestamp_pb2.Timestamp
    total: _vector_pb2.LayerSize
    layers: _containers.RepeatedCompositeFieldContainer[_vector_pb2.LayerSize]
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hits: _Optional[int] = ..., misses: _Optional[int] = ..., puts: _Optional[int] = ..., refused_rows: _Optional[int] = ..., evictions: _Optional[int] = ..., pruned: _Optional[int] = ..., damaged: _Optional[int] = ..., leases_granted: _Optional[int] = ..., backend: _Optional[str] = ..., degraded: _Optional[bool] = ..., degraded_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., total: _Optional[_Union[_vector_pb2.LayerSize, _Mapping]] = ..., layers: _Optional[_Iterable[_Union[_vector_pb2.LayerSize, _Mapping]]] = ...) -> None: ...
