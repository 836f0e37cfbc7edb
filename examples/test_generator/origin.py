"""The outside world of the example, on loopback: a name server and the web server that its name leads to.

    python3 origin.py --name api.github.com --http 127.0.0.1:18080 --dns 127.0.0.1:18053 --keep reports.ndjson

The gate is pointed at the name server and given the web server's address as an explicit exception. One line on
standard output says that both serve; each request is another line, and its body is appended to the file of --keep.
Stops on SIGTERM or SIGINT. Bodies and the number of requests kept are bounded.
"""

import argparse
import asyncio
import ipaddress
import signal
import struct
from pathlib import Path
from typing import cast

MOST_BYTES, MOST_REQUESTS, SECONDS = 1 << 20, 1000, 30
A, NXDOMAIN, TTL_S = 1, 3, 5


class Origin:
    """The web server: answers every request with a small JSON object, and keeps what it was sent."""

    def __init__(self, keep: Path | None) -> None:
        self._keep, self._seen = keep, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            async with asyncio.timeout(SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                body = await reader.readexactly(min(_content_length(head), MOST_BYTES))
            self._take(head.split("\r\n")[0], body)
            answer = b'{"taken": true}\n'
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(answer), answer))
            await writer.drain()
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError):  # TimeoutError is an OSError
            pass  # a client that speaks no HTTP, or left
        finally:
            writer.close()

    def _take(self, request_line: str, body: bytes) -> None:
        self._seen += 1
        print(f"origin: {request_line.rpartition(' ')[0]}, {len(body)} bytes", flush=True)
        if self._keep is not None and body and self._seen <= MOST_REQUESTS:
            with self._keep.open("ab") as file:
                file.write(body.rstrip(b"\n") + b"\n")


class NameServer(asyncio.DatagramProtocol):
    """Answers A queries for `names` with `address`, all others with NXDOMAIN (RFC 1035)."""

    def __init__(self, names: list[str], address: str) -> None:
        self._names, self._address = {name.lower() for name in names}, ipaddress.ip_address(address).packed
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.DatagramProtocol."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One query; what is none is dropped."""
        try:
            self._transport.sendto(self._answer(data), addr)
        except (IndexError, struct.error, UnicodeDecodeError):
            return

    def _answer(self, query: bytes) -> bytes:
        name, end = _read_name(query, 12)
        (kind,) = struct.unpack_from("!H", query, end)
        known = name in self._names
        record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, TTL_S, 4) + self._address if known and kind == A else b""
        flags = 0x8180 | (0 if known else NXDOMAIN)
        header = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if record else 0, 0, 0)
        return header + query[12 : end + 4] + record


async def main() -> None:
    """Serve until told to stop."""
    told = _arguments()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = await asyncio.start_server(Origin(told.keep).serve, *told.http, limit=1 << 16)
    http = server.sockets[0].getsockname()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(told.name, http[0]), local_addr=told.dns)
    dns = transport.get_extra_info("sockname")
    print(f"origin: {', '.join(told.name)} at {http[0]}:{http[1]}, names at {dns[0]}:{dns[1]}", flush=True)
    await stopping.wait()
    transport.close()
    server.close()


def _content_length(head: str) -> int:
    fields = (line.partition(":") for line in head.split("\r\n"))
    return int(next((value for name, _, value in fields if name.lower() == "content-length"), "0"))


def _read_name(packet: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := packet[at]:
        labels.append(packet[at + 1 : at + 1 + length].decode("ascii"))
        at += length + 1
    return ".".join(labels).lower(), at + 1


def _loopback(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not ipaddress.ip_address(host).is_loopback:
        raise argparse.ArgumentTypeError(f"{host} is not on loopback")
    return host, int(port)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", action="append", required=True, help="a name that leads here; may be repeated")
    parser.add_argument("--http", type=_loopback, default=("127.0.0.1", 0), metavar="ADDRESS:PORT")
    parser.add_argument("--dns", type=_loopback, default=("127.0.0.1", 0), metavar="ADDRESS:PORT")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where each request's body is appended")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
