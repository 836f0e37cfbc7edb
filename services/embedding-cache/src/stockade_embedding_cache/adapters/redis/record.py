"""How an entry is written in Redis: a head, then the vector, then a checksum.

    head    u32 size of the vector, u32 dimensions, u8 dtype, f64 created, f64 expires, writer; big-endian
    value   u16 length of the head, head, vector, u32 CRC-32 (little-endian)

The checksum is over the key and all that is before it: a value under another's key is damage too. The CRC-32 of
anything and its own CRC-32 behind it is always the same number.
"""

import struct
import sys

from isal import isal_zlib

from stockade_embedding_cache.domain.entry import Entry
from stockade_embedding_cache.domain.ports import Listed
from stockade_embedding_cache.domain.vector import read_format

_FIXED = struct.Struct(">IIBdd")
_START = struct.Struct(">HIIBdd")  # of a value: the head's length, and the head as far as its size is fixed
_LENGTH = struct.Struct(">H")
_CHECKSUM = struct.Struct("<I")
_SOUND = 0x2144DF1C


def encode(key: bytes, entry: Entry) -> tuple[bytes, bytes]:
    """An entry's head and its value."""
    fmt = entry.format
    fixed = _FIXED.pack(len(entry.data), fmt.dimensions, int(fmt.dtype), entry.created, entry.expires)
    head = fixed + entry.writer.encode()
    body = b"".join((_LENGTH.pack(len(head)), head, entry.data))
    return head, body + _CHECKSUM.pack(_checksum(key, body))


def decode(key: bytes, value: bytes) -> Entry | None:
    """The entry that `value` holds; None for one that is damaged."""
    if len(value) < _START.size or _checksum(key, value) != _SOUND:
        return None
    length, _, dimensions, dtype, created, expires = _START.unpack_from(value)
    start = _LENGTH.size + length
    writer = sys.intern(value[_START.size : start].decode())
    return Entry(read_format(dimensions, dtype), value[start : -_CHECKSUM.size], writer, created, expires)


def decode_head(key: bytes, head: bytes) -> Listed:
    """What a head says of the entry under `key`."""
    _, dimensions, dtype, created, expires = _FIXED.unpack_from(head)
    return Listed(key, read_format(dimensions, dtype), head[_FIXED.size :].decode(), created, expires)


def _checksum(key: bytes, body: bytes) -> int:
    return isal_zlib.crc32(body, isal_zlib.crc32(key))
