"""How an entry is written in Redis: a head, then the vector, then a checksum.

    head    u32 size of the vector, u32 dimensions, u8 dtype, f64 created, f64 expires, writer; big-endian
    value   u16 length of the head, head, vector, u32 CRC-32

The checksum is over the key and all that is before it: a value under another's key is damage too.
"""

import struct
import zlib
from functools import cache

from stockade_embedding_cache.domain.entry import Entry
from stockade_embedding_cache.domain.ports import Listed
from stockade_embedding_cache.domain.vector import Dtype, Format

_FIXED = struct.Struct(">IIBdd")
_LENGTH = struct.Struct(">H")
_CHECKSUM = struct.Struct(">I")


def encode(key: bytes, entry: Entry) -> tuple[bytes, bytes]:
    """An entry's head and its value."""
    fmt = entry.format
    fixed = _FIXED.pack(len(entry.data), fmt.dimensions, int(fmt.dtype), entry.created, entry.expires)
    head = fixed + entry.writer.encode()
    body = b"".join((_LENGTH.pack(len(head)), head, entry.data))
    return head, body + _CHECKSUM.pack(_checksum(key, body))


def decode(key: bytes, value: bytes) -> Entry | None:
    """The entry that `value` holds; None for one that is damaged."""
    end = len(value) - _CHECKSUM.size
    if end < _LENGTH.size or _CHECKSUM.unpack_from(value, end)[0] != _checksum(key, memoryview(value)[:end]):
        return None
    start = _LENGTH.size + _LENGTH.unpack_from(value)[0]
    listed = decode_head(key, value[_LENGTH.size : start])
    return Entry(listed.format, value[start:end], listed.writer, listed.created, listed.expires)


def decode_head(key: bytes, head: bytes) -> Listed:
    """What a head says of the entry under `key`."""
    _, dimensions, dtype, created, expires = _FIXED.unpack_from(head)
    return Listed(key, _format(dimensions, dtype), head[_FIXED.size :].decode(), created, expires)


def _checksum(key: bytes, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(key))


@cache
def _format(dimensions: int, dtype: int) -> Format:
    return Format(dimensions, Dtype(dtype))
