"""A tunnel reaches the host of its CONNECT, by TLS and by that name, or nothing."""

import asyncio
import ssl

import pytest

from security.network.conftest import Sandbox
from support.gate import needs_envoy
from support.tls import client_hello, in_records

pytestmark = [pytest.mark.gate, needs_envoy, pytest.mark.asyncio(loop_scope="module")]

OK, EVIL = client_hello("ok.test"), client_hello("evil.test")

SAID = {
    "another name": [EVIL],
    "no name": [client_hello()],
    "an empty name": [client_hello("")],
    "another name after the right one": [client_hello("ok.test", "evil.test")],
    "another name before the right one": [client_hello("evil.test", "ok.test")],
    "a name below": [client_hello("sub.ok.test")],
    "the right name and a NUL": [client_hello("ok.test\0.evil.test")],
    "the right name and a dot": [client_hello("ok.test.")],
    "an address": [client_hello("127.0.0.1")],
    "another name, byte by byte": [EVIL[at : at + 1] for at in range(len(EVIL))],
    "another name, split within": [EVIL[:60], EVIL[60:]],
    "another name in small records": [in_records(EVIL, 16)],
    "another name in tiny records": [in_records(EVIL, 1)],
    "a hello that promises more than it says": [EVIL[:3] + b"\x40\x00" + EVIL[5:]],
    "a hello cut short, and plain HTTP": [OK[:40], b"GET / HTTP/1.1\r\n\r\n"],
    "plain HTTP": [b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n"],
    "an SSH banner": [b"SSH-2.0-OpenSSH_9.2p1\r\n"],
    "SOCKS": [b"\x05\x01\x00"],
    "HTTP/2 in the clear": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "another proxy's CONNECT": [b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n"],
    "zeroes": [bytes(2000)],
    "an alert": [b"\x15\x03\x01\x00\x02\x02\x28"],
    "SSL 2": [b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(40)],
}


@pytest.mark.parametrize("pieces", SAID.values(), ids=SAID)
async def test_what_is_not_tls_to_the_host_reaches_nothing(sandbox: Sandbox, pieces: list[bytes]) -> None:
    origin = sandbox.walls.ok_tls
    origin.connections = origin.bytes = 0
    tunnel = await sandbox.door.connect(f"ok.test:{origin.port}")
    assert tunnel.answer.status == 200
    for piece in pieces:
        tunnel.writer.write(piece)
        await asyncio.sleep(0 if len(pieces) > 10 else 0.02)
    tunnel.writer.write_eof()
    assert await tunnel.closed(within_s=12)
    tunnel.close()
    assert origin.untouched()
    assert sandbox.walls.untouched()
    await sandbox.recorded()


async def test_the_right_name_in_pieces_is_right(sandbox: Sandbox) -> None:
    """Else the attempts above would fail for want of a hello, not for its name."""
    tunnel = await sandbox.door.connect(f"ok.test:{sandbox.walls.ok_tls.port}")
    tunnel.writer.write(OK[:60])
    await asyncio.sleep(0.05)
    answer = await tunnel.ask(OK[60:])
    tunnel.close()
    assert answer[:1] in (b"\x16", b"\x15")  # the origin's own words: a handshake, or its refusal of our ciphers


@pytest.mark.parametrize("name", ["evil.test", "EVIL.test", None])
async def test_a_front_does_not_lead_elsewhere(sandbox: Sandbox, name: str | None) -> None:
    origin = sandbox.walls.ok_tls
    origin.connections = origin.bytes = 0
    trust = sandbox.walls.ca.client()
    trust.check_hostname = False
    assert await sandbox.door.fetch(f"ok.test:{origin.port}", trust, name) == b""
    assert origin.untouched()
    await sandbox.recorded()


async def test_the_name_in_another_case_is_the_name(sandbox: Sandbox) -> None:
    context = sandbox.walls.ca.client()
    assert isinstance(context, ssl.SSLContext)
    assert await sandbox.door.fetch(f"OK.Test:{sandbox.walls.ok_tls.port}", context, "ok.test")
