"""A proxy client that says exactly what a test wants said, over a door's Unix socket."""

import asyncio
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 5.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `status` 0 stands for a connection that was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


CLOSED = Answer(0, {}, b"")


@dataclass
class Tunnel:
    """An open tunnel, or the answer that refused it."""

    answer: Answer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def tls(self, context: ssl.SSLContext, name: str | None) -> None:
        """Shake hands with a server name of one's choice. Raises ssl.SSLError or ConnectionError."""
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.start_tls(context, server_hostname=name)

    async def ask(self, data: bytes) -> bytes:
        """Send something and read what comes back first; empty when the tunnel was closed."""
        try:
            self.writer.write(data)
            async with asyncio.timeout(PATIENCE_S):
                return await self.reader.read(65536)
        except (ConnectionError, ssl.SSLError):
            return b""

    async def closed(self, within_s: float) -> bool:
        """Whether the other side ends the tunnel in time."""
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        """End it."""
        self.writer.close()


@dataclass(frozen=True)
class Proxy:
    """A door as the sandbox's programs have it."""

    socket: Path

    async def get(self, url: str, *headers: str, method: str = "GET") -> Answer:
        """One plain request in absolute form."""
        lines = [f"{method} {url} HTTP/1.1", "Host: of-no-account.test", *headers, "Connection: close"]
        return await self.say("\r\n".join([*lines, "", ""]).encode("utf-8"))

    async def say(self, data: bytes) -> Answer:
        """Whatever is sent, the first answer to it."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            writer.write(data)
            async with asyncio.timeout(PATIENCE_S):
                return await read_answer(reader)
        except ConnectionError:
            return CLOSED
        finally:
            writer.close()

    async def connect(self, target: str, *headers: str, version: str = "1.1") -> Tunnel:
        """Ask for a tunnel to `host:port`."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        host = [] if version == "1.0" else [f"Host: {target}"]
        lines = [f"CONNECT {target} HTTP/{version}", *host, *headers, "", ""]
        writer.write("\r\n".join(lines).encode("utf-8"))
        async with asyncio.timeout(PATIENCE_S):
            return Tunnel(await read_answer(reader, tunnel=True), reader, writer)

    async def fetch(self, target: str, context: ssl.SSLContext, name: str | None) -> bytes:
        """A whole request through a tunnel under a server name; empty when it was ended without a word."""
        tunnel = await self.connect(target)
        try:
            if tunnel.answer.status != 200:
                return b""
            await tunnel.tls(context, name)
            return await tunnel.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        except (ConnectionError, ssl.SSLError):
            return b""
        finally:
            tunnel.close()


async def read_answer(reader: asyncio.StreamReader, *, tunnel: bool = False) -> Answer:
    """One answer off a connection; of a tunnel's 200 the head alone."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return CLOSED
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (header.partition(":") for header in rest)}
    status = int(line.split(" ")[1])
    if tunnel and status == 200:
        return Answer(status, headers, b"")
    return Answer(status, headers, await reader.readexactly(int(headers.get("content-length", 0))))
