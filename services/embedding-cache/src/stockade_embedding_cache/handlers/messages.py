"""Between the contract's messages and the domain's values."""

from collections.abc import Iterable, Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.embeddingcache.v1 import vector_pb2 as pb
from stockade_rpckit.identity import current_principal

from stockade_embedding_cache.domain import vector
from stockade_embedding_cache.domain.cache import EXPLANATIONS
from stockade_embedding_cache.domain.entry import Entry, Quota, Size
from stockade_embedding_cache.domain.layer import Caller
from stockade_embedding_cache.domain.ports import Listed
from stockade_embedding_cache.domain.vector import Format, RowFault, Rows


def caller() -> Caller:
    """Who makes the call being served."""
    principal = current_principal()
    return Caller(principal.kind.value, principal.name, principal.agent_type)


def read_format(message: pb.VectorFormat) -> Format:
    """The format that a request names."""
    return vector.read_format(message.dimensions, message.dtype)


def read_rows(message: pb.Rows) -> Rows:
    """The rows that a request brings."""
    return Rows(read_format(message.format), message.vectors, tuple(message.sizes))


def read_seconds(message: object, field: str) -> float | None:
    """A Duration field of `message` in seconds; None when it is unset."""
    if not message.HasField(field):  # type: ignore[attr-defined]
        return None
    duration: Duration = getattr(message, field)
    return duration.seconds + duration.nanos / 1e9


def timestamp(seconds: float) -> Timestamp:
    """Seconds since 1970 as a Timestamp."""
    stamp = Timestamp()
    stamp.FromNanoseconds(int(seconds * 1e9))
    return stamp


def write_format(fmt: Format) -> pb.VectorFormat:
    """A format as the contract says it."""
    return pb.VectorFormat(dimensions=fmt.dimensions, dtype=int(fmt.dtype))  # type: ignore[arg-type]


def write_vector(entry: Entry) -> pb.Vector:
    """An entry's vector."""
    return pb.Vector(format=write_format(entry.format), data=entry.data)


def write_errors(faults: Mapping[int, RowFault]) -> list[pb.RowError]:
    """The refused rows, in order, each with its mend."""
    return [
        pb.RowError(row=row, fault=int(fault), message=f"row {row}: {EXPLANATIONS[fault]}")  # type: ignore[arg-type]
        for row, fault in sorted(faults.items())
    ]


def write_epoch(layer: str, epoch: int) -> pb.LayerEpoch:
    """A layer's epoch."""
    return pb.LayerEpoch(layer=layer, epoch=epoch)


def write_epochs(epochs: Mapping[str, int]) -> list[pb.LayerEpoch]:
    """Layers' epochs."""
    return [write_epoch(layer, epoch) for layer, epoch in epochs.items()]


def write_size(layer: str, size: Size, quota: Quota) -> pb.LayerSize:
    """A layer's size beside its quota."""
    return pb.LayerSize(
        layer=layer, entries=size.entries, bytes=size.bytes, max_entries=quota.entries, max_bytes=quota.bytes
    )


def write_entries(listed: Iterable[Listed]) -> list[pb.EntryInfo]:
    """Entries without their numbers."""
    return [
        pb.EntryInfo(
            key=item.key,
            format=write_format(item.format),
            writer=item.writer,
            create_time=timestamp(item.created),
            expire_time=timestamp(item.expires),
        )
        for item in listed
    ]
