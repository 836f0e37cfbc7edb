"""How an entry is written in Redis: a head, then the vector.

    head    u32 size of the vector, u32 dimensions, u8 dtype, f64 created, f64 expires, u32 CRC-32, writer; big-endian
    value   u16 length of the head, head, vector

The checksum is over the key, the head without it, and the vector: a value under another's key is damage too.
"""

import struct
import zlib

from stockade_embedding_cache.domain.entry import Entry
from stockade_embedding_cache.domain.ports import Listed
from stockade_embedding_cache.domain.vector import Dtype, Format

_FIXED = struct.Struct(">IIBddI")
_LENGTH = struct.Struct(">H")


def encode(key: bytes, entry: Entry) -> tuple[bytes, bytes]:
    """An entry's head and its value."""
    head = _head(key, entry)
    return head, b"".join((_LENGTH.pack(len(head)), head, entry.data))


def decode(key: bytes, value: bytes) -> Entry | None:
    """The entry that `value` holds; None for one that is damaged."""
    try:
        (length,) = _LENGTH.unpack_from(value)
        head, data = value[_LENGTH.size : _LENGTH.size + length], value[_LENGTH.size + length :]
        listed = decode_head(key, head)
    except (struct.error, ValueError):
        return None
    entry = Entry(listed.format, data, listed.writer, listed.created, listed.expires)
    return entry if head == _head(key, entry) else None


def decode_head(key: bytes, head: bytes) -> Listed:
    """What a head says of the entry under `key`."""
    _, dimensions, dtype, created, expires, _ = _FIXED.unpack_from(head)
    return Listed(key, Format(dimensions, Dtype(dtype)), head[_FIXED.size :].decode(), created, expires)


def _head(key: bytes, entry: Entry) -> bytes:
    facts = len(entry.data), entry.format.dimensions, int(entry.format.dtype), entry.created, entry.expires
    writer = entry.writer.encode()
    checksum = zlib.crc32(entry.data, zlib.crc32(_FIXED.pack(*facts, 0) + writer, zlib.crc32(key)))
    return _FIXED.pack(*facts, checksum) + writer
