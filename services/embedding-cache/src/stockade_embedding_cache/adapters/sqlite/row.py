"""How an entry is written in a row of `vectors`."""

from collections.abc import Sequence
from typing import Any

from isal import isal_zlib

from stockade_embedding_cache.domain.entry import Entry
from stockade_embedding_cache.domain.vector import read_format

COLUMNS = "key, dimensions, dtype, writer, created, expires, data, checksum"


def encode(key: bytes, entry: Entry) -> tuple[Any, ...]:
    """The values of COLUMNS."""
    fmt, data, writer, created, expires = entry
    fields = (key, fmt.dimensions, int(fmt.dtype), writer, created, expires, data)
    return (*fields, _checksum(*fields))


def decode(row: Sequence[Any]) -> Entry | None:
    """The entry of a row of COLUMNS; None for one that is damaged."""
    *fields, checksum = row
    if _checksum(*fields) != checksum:
        return None
    _, dimensions, dtype, writer, created, expires, data = fields
    return Entry(read_format(dimensions, dtype), data, writer, created, expires)


def _checksum(key: bytes, dimensions: int, dtype: int, writer: str, created: float, expires: float, data: bytes) -> int:
    """CRC-32 of everything a row says, its key included: data under another's key is damage too."""
    header = f"{dimensions} {dtype} {writer} {created!r} {expires!r}".encode()
    return isal_zlib.crc32(data, isal_zlib.crc32(header, isal_zlib.crc32(key)))
