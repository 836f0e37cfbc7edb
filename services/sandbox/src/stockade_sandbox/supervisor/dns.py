"""A DNS stub (RFC 1035): one question, one answer, nothing asked of anybody else."""

from __future__ import annotations

import socket
import struct

from .names import Names, canonical

_A, _IN, _ANY_CLASS = 1, 1, 255
_NO_ERROR, _FORMAT_ERROR, _NO_SUCH_NAME, _NOT_IMPLEMENTED = 0, 1, 3, 4
_HEADER = struct.Struct("!HHHHHH")
_TTL_S = 60


class _Malformed(Exception):
    pass


def answer(query: bytes, names: Names) -> bytes | None:
    """The reply to one query; None for what deserves none (too short, or itself a reply).

    An A question for a host name is answered with that name's own loopback address, AAAA and all other types with no
    records, what is no host name with NXDOMAIN.
    """
    if len(query) < _HEADER.size:
        return None
    ident, flags, questions = _HEADER.unpack_from(query)[:3]
    if flags & 0x8000:
        return None
    if flags & 0x7800:
        return _reply(ident, flags, _NOT_IMPLEMENTED)
    try:
        if questions != 1:
            raise _Malformed
        name, end = _read_name(query, _HEADER.size)
        kind, rr_class = struct.unpack("!HH", query[end : end + 4])
    except (_Malformed, struct.error):
        return _reply(ident, flags, _FORMAT_ERROR)
    question = query[_HEADER.size : end + 4]
    host = canonical(name)
    if host is None:
        return _reply(ident, flags, _NO_SUCH_NAME, question)
    if kind != _A or rr_class not in (_IN, _ANY_CLASS):
        return _reply(ident, flags, _NO_ERROR, question)
    local = host == "localhost" or host.endswith(".localhost")
    address = "127.0.0.1" if local else names.address(host)
    record = struct.pack("!HHHIH", 0xC00C, _A, _IN, _TTL_S, 4) + socket.inet_aton(address)
    return _reply(ident, flags, _NO_ERROR, question, record)


def _reply(ident: int, flags: int, code: int, question: bytes = b"", record: bytes = b"") -> bytes:
    """QR, AA and RA set, RD as it was asked."""
    header = _HEADER.pack(ident, 0x8480 | (flags & 0x0100) | code, bool(question), bool(record), 0, 0)
    return header + question + record


def _read_name(query: bytes, start: int) -> tuple[str, int]:
    """A name without compression (a question has nothing to point to) and where it ends."""
    labels: list[str] = []
    total = 0
    while True:
        if start >= len(query):
            raise _Malformed
        length = query[start]
        start += 1
        if length == 0:
            return ".".join(labels), start
        total += length + 1
        if length > 63 or total > 254 or start + length > len(query):
            raise _Malformed
        label = query[start : start + length]
        if b"." in label:
            raise _Malformed
        labels.append(label.decode("latin-1"))
        start += length
