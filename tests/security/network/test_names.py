"""A name that policy does not allow is not reached, however it is written."""

import pytest

from security.network.attempts import NUMERIC, REQUESTS, SMUGGLED, filled
from security.network.conftest import Sandbox
from support.gate import needs_envoy

pytestmark = [pytest.mark.gate, needs_envoy, pytest.mark.asyncio(loop_scope="module")]


def _filled(text: str, sandbox: Sandbox) -> bytes:
    walls = sandbox.walls
    return filled(text, {"EVIL": walls.evil.port, "OK": walls.ok.port, "PRIVATE": walls.private.port})


@pytest.mark.parametrize("request_text", REQUESTS.values(), ids=REQUESTS)
async def test_a_name_is_not_reached(sandbox: Sandbox, request_text: str) -> None:
    before = len(sandbox.walls.zone.queries)
    answer = await sandbox.door.say(_filled(request_text, sandbox))
    assert answer.status in (0, 400, 403, 404, 426, 501)
    assert sandbox.walls.untouched()
    assert len(sandbox.walls.zone.queries) == before  # not even looked up
    await sandbox.recorded()


@pytest.mark.parametrize("host", NUMERIC)
async def test_an_address_in_any_writing_is_not_reached(sandbox: Sandbox, host: str) -> None:
    port = sandbox.walls.private.port
    for text in (
        f"GET http://{host}:{port}/ HTTP/1.1\nHost: x",
        f"CONNECT {host}:{port} HTTP/1.1\nHost: x",
    ):
        answer = await sandbox.door.say(_filled(text, sandbox))
        assert answer.status in (0, 400, 403)
    assert sandbox.walls.untouched()
    await sandbox.recorded()


@pytest.mark.parametrize("text", SMUGGLED.values(), ids=SMUGGLED)
async def test_what_hides_behind_an_allowed_request_is_not_reached(sandbox: Sandbox, text: str) -> None:
    await sandbox.door.say(_filled(text, sandbox))
    assert sandbox.walls.untouched()


HOST_AND_TARGET = {
    "another Host beside the target": ("evil.test:EVIL",),
    "two other Hosts beside the target": ("evil.test:EVIL", "evil.test"),
}


@pytest.mark.parametrize("hosts", HOST_AND_TARGET.values(), ids=HOST_AND_TARGET)
async def test_the_target_decides_and_the_upstream_sees_no_other_host(sandbox: Sandbox, hosts: tuple[str, ...]) -> None:
    ok = sandbox.walls.ok
    ok.heads.clear()
    lines = "".join(f"\nHost: {host}" for host in hosts)
    answer = await sandbox.door.say(_filled(f"GET http://ok.test:OK/ HTTP/1.1{lines}", sandbox))
    assert answer.status in (200, 400)
    assert sandbox.walls.untouched()
    assert all(head.lower().count("host:") == 1 and f"host: ok.test:{ok.port}" in head for head in ok.heads)


async def test_a_redirect_is_asked_for_anew(sandbox: Sandbox) -> None:
    walls = sandbox.walls
    location = f"http://evil.test:{walls.evil.port}/"
    kept, walls.ok.reply = (
        walls.ok.reply,
        f"HTTP/1.1 302 Found\r\nLocation: {location}\r\ncontent-length: 0\r\n\r\n".encode(),
    )
    answer = await sandbox.door.get(f"http://ok.test:{walls.ok.port}/")
    walls.ok.reply = kept
    assert (answer.status, answer.headers["location"]) == (302, location)
    assert (await sandbox.door.get(answer.headers["location"])).status == 403
    assert walls.untouched()
    await sandbox.recorded()
