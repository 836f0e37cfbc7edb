"""Replies that carry megabytes of vectors, packed with one copy.

A message built and serialized by protobuf copies its vectors three times more, which costs more than all the rest of a
batch. https://protobuf.dev/programming-guides/encoding/: fields may come in any order, so a reply is its small fields,
serialized as ever, with the field of vectors behind them.
"""

from collections.abc import Iterable

from google.protobuf.message import Message

_LENGTH_DELIMITED = 2


def with_vectors(reply: Message, entries: Iterable[bytes]) -> bytes:
    """`reply` on the wire, and `entries` one behind the other as its field `vectors`, which it leaves empty."""
    rows = list(entries)
    number = reply.DESCRIPTOR.fields_by_name["vectors"].number
    tag = _varint(number << 3 | _LENGTH_DELIMITED) + _varint(sum(map(len, rows)))
    return b"".join((reply.SerializeToString(), tag, *rows))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
