"""A tunnel reaches the host of its CONNECT, by TLS and by that name, or nothing."""

import asyncio
import ssl

import pytest

from security.network.attempts import IN_TUNNELS, OK
from security.network.conftest import Sandbox
from support.gate import needs_envoy

pytestmark = [pytest.mark.gate, needs_envoy, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("pieces", IN_TUNNELS.values(), ids=IN_TUNNELS)
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
