"""A TLS client's first words, written by hand: for server names and splits that no library would send."""

import struct


def client_hello(*names: str, trailing: bytes = b"") -> bytes:
    """One record with a ClientHello of TLS 1.2 that asks for `names` (RFC 5246 §7.4.1.2, RFC 6066 §3)."""
    listed = b"".join(b"\x00" + _sized(name.encode(), 2) for name in names)
    server_name = struct.pack("!H", 0) + _sized(_sized(listed, 2), 2) if names else b""
    groups = struct.pack("!H", 10) + _sized(_sized(b"\x00\x17", 2), 2)
    signatures = struct.pack("!H", 13) + _sized(_sized(b"\x04\x03\x04\x01", 2), 2)
    ciphers = _sized(b"\xc0\x2b\xc0\x2f\x00\x9c", 2)
    body = (
        b"\x03\x03"
        + bytes(32)
        + b"\x00"
        + ciphers
        + b"\x01\x00"
        + _sized(server_name + groups + signatures + trailing, 2)
    )
    return record(b"\x01" + _sized(body, 3))


def record(fragment: bytes) -> bytes:
    """One handshake record (RFC 5246 §6.2.1)."""
    return b"\x16\x03\x01" + _sized(fragment, 2)


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake in records of `size` bytes each."""
    handshake = hello[5:]
    return b"".join(record(handshake[at : at + size]) for at in range(0, len(handshake), size))


def _sized(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width, "big") + data
