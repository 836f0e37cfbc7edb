"""A DNS server for tests: answers from a table that a test may change between two queries (RFC 1035)."""

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

A, CNAME, AAAA = 1, 5, 28
NOERROR, NXDOMAIN = 0, 3


@dataclass
class Zone:
    """Names to addresses, or `->other.name` for a CNAME; a callable is asked at each query. `queries` counts names."""

    names: dict[str, list[str] | Callable[[], list[str]]] = field(default_factory=dict)
    ttl: int = 0
    queries: list[str] = field(default_factory=list)
    host: str = "127.0.0.1"
    port: int = 0

    @property
    def address(self) -> str:
        """Where it answers, as `address:port`."""
        return f"{self.host}:{self.port}"

    def answer(self, query: bytes) -> bytes:
        """The reply to one query of one question."""
        name, end = _read_name(query, 12)
        kind = struct.unpack_from("!H", query, end)[0]
        self.queries.append(name)
        records = self._records(name, kind) if name in self.names else []
        code = NOERROR if name in self.names else NXDOMAIN
        header = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        return header + query[12 : end + 4] + b"".join(records)

    def _records(self, name: str, kind: int) -> list[bytes]:
        records = []
        held = self.names.get(name, [])
        for text in held() if callable(held) else held:
            if text.startswith("->"):
                records.append(_record(name, CNAME, self.ttl, _write_name(text[2:])))
                records += self._records(text[2:], kind)
            else:
                address = ipaddress.ip_address(text)
                if kind == (A if address.version == 4 else AAAA):
                    records.append(_record(name, kind, self.ttl, address.packed))
        return records


@asynccontextmanager
async def serving(zone: Zone) -> AsyncIterator[Zone]:
    """Serves `zone` on a port of its host."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Server(zone), local_addr=(zone.host, 0))
    zone.port = transport.get_extra_info("sockname")[1]
    try:
        yield zone
    finally:
        transport.close()


class _Server(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._zone.answer(data), addr)


def _record(name: str, kind: int, ttl: int, value: bytes) -> bytes:
    return _write_name(name) + struct.pack("!HHIH", kind, 1, ttl, len(value)) + value


def _read_name(packet: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := packet[at]:
        labels.append(packet[at + 1 : at + 1 + length].decode("ascii"))
        at += length + 1
    return ".".join(labels).lower(), at + 1


def _write_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
