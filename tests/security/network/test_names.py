"""A name that policy does not allow is not reached, however it is written."""

import pytest

from security.network.conftest import Sandbox
from support.gate import needs_envoy

pytestmark = [pytest.mark.gate, needs_envoy, pytest.mark.asyncio(loop_scope="module")]

# Lines of a head, as CRLF is made of them; EVIL and OK stand for the ports of the origins behind those names.
REQUESTS = {
    "absolute form": "GET http://evil.test:EVIL/ HTTP/1.1\nHost: evil.test:EVIL",
    "absolute form under an allowed Host": "GET http://evil.test:EVIL/ HTTP/1.1\nHost: ok.test:OK",
    "origin form": "GET / HTTP/1.1\nHost: evil.test:EVIL",
    "upper case": "GET http://EVIL.TEST:EVIL/ HTTP/1.1\nHost: x",
    "a trailing dot": "GET http://evil.test.:EVIL/ HTTP/1.1\nHost: x",
    "an allowed name as user": "GET http://ok.test@evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "an allowed name and port as user": "GET http://ok.test:OK@evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "an allowed name after a fragment": "GET http://evil.test:EVIL#@ok.test/ HTTP/1.1\nHost: ok.test",
    "an allowed name after a backslash": "GET http://evil.test:EVIL\\@ok.test/ HTTP/1.1\nHost: ok.test",
    "a backslash before the path": "GET http://ok.test\\.evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "a NUL within": "GET http://ok.test%00.evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "a raw NUL within": "GET http://ok.test\0.evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "a percent-encoded dot": "GET http://evil%2etest:EVIL/ HTTP/1.1\nHost: x",
    "a space before the host": "GET http:// evil.test:EVIL/ HTTP/1.1\nHost: x",
    "a tab in the Host": "GET / HTTP/1.1\nHost: ok.test\tevil.test:EVIL",
    "a comma in the Host": "GET / HTTP/1.1\nHost: ok.test,evil.test:EVIL",
    "two Hosts": "GET / HTTP/1.1\nHost: ok.test:OK\nHost: evil.test:EVIL",
    "two Hosts, the other way": "GET / HTTP/1.1\nHost: evil.test:EVIL\nHost: ok.test:OK",
    "a folded Host": "GET / HTTP/1.1\nHost: ok.test\n evil.test:EVIL",
    "no Host": "GET / HTTP/1.1",
    "an ideographic dot": "GET http://evil。test:EVIL/ HTTP/1.1\nHost: x",
    "full width letters": "GET http://ｅｖｉｌ.test:EVIL/ HTTP/1.1\nHost: x",
    "a look-alike of an allowed name": "GET http://οk.test:EVIL/ HTTP/1.1\nHost: x",
    "a soft hyphen": "GET http://ev\u00adil.test:EVIL/ HTTP/1.1\nHost: x",
    "the apex of a wildcard": "GET http://wild.test:EVIL/ HTTP/1.1\nHost: x",
    "a suffix without its dot": "GET http://notwild.test:EVIL/ HTTP/1.1\nHost: x",
    "a wildcard, asked for": "GET http://*.wild.test.evil.test:EVIL/ HTTP/1.1\nHost: x",
    "https in the clear": "GET https://ok.test:OK/ HTTP/1.1\nHost: x",
    "another scheme": "GET ftp://evil.test:EVIL/ HTTP/1.1\nHost: x",
    "a file": "GET file:///etc/passwd HTTP/1.1\nHost: x",
    "CONNECT": "CONNECT evil.test:EVIL HTTP/1.1\nHost: evil.test:EVIL",
    "CONNECT under an allowed Host": "CONNECT evil.test:EVIL HTTP/1.1\nHost: ok.test:OK",
    "CONNECT with an allowed user": "CONNECT ok.test@evil.test:EVIL HTTP/1.1\nHost: ok.test",
    "CONNECT in absolute form": "CONNECT http://evil.test:EVIL/ HTTP/1.1\nHost: ok.test",
    "CONNECT to a port of its own": "CONNECT ok.test:22 HTTP/1.1\nHost: ok.test",
    "CONNECT that hides plain HTTP": "CONNECT ok.test:80 HTTP/1.1\nHost: ok.test",
    "connect in lower case": "connect evil.test:EVIL HTTP/1.1\nHost: ok.test",
    "a WebSocket": "GET http://evil.test:EVIL/ HTTP/1.1\nHost: x\nUpgrade: websocket\nConnection: Upgrade",
    "an upgrade to h2c": "GET http://evil.test:EVIL/ HTTP/1.1\nHost: x\nUpgrade: h2c\nConnection: Upgrade",
    "HTTP/2 with prior knowledge": "PRI * HTTP/2.0\n\nSM",
    "HTTP/1.0": "GET http://evil.test:EVIL/ HTTP/1.0",
    "OPTIONS of everything": "OPTIONS * HTTP/1.1\nHost: evil.test:EVIL",
    "TRACE": "TRACE http://evil.test:EVIL/ HTTP/1.1\nHost: x",
    "both lengths": "POST http://evil.test:EVIL/ HTTP/1.1\nHost: x\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0",
    "an odd transfer encoding": "POST http://evil.test:EVIL/ HTTP/1.1\nHost: x\nTransfer-Encoding: xchunked\n\n0",
    "a destination for Envoy": "GET http://evil.test/ HTTP/1.1\nHost: x\nx-envoy-original-dst-host: 127.0.0.3:EVIL",
    "the gate's own name": "CONNECT policy.stockade.internal:443 HTTP/1.1\nHost: x",
    "localhost": "GET http://localhost:PRIVATE/ HTTP/1.1\nHost: x",
}

LOOPBACK = (
    "127.0.0.2",
    "127.2",
    "127.0.2",
    "2130706434",
    "0x7f000002",
    "017700000002",
    "0177.0.0.2",
    "0x7f.0.0.2",
    "127.0.0.02",
    "127.0.0.2.",
    "127.0.0.1:PRIVATE@127.0.0.2",
    "１２７.0.0.2",
    "①②⑦.0.0.2",
    "١٢٧.0.0.2",
    "127。0。0。2",
    "0",
    "[::1]",
    "[::127.0.0.2]",
    "[::ffff:127.0.0.2]",
    "[::ffff:7f00:2]",
    "[0:0:0:0:0:ffff:7f00:2]",
    "[64:ff9b::7f00:2]",
    "[2002:7f00:2::]",
    "[fe80::1%25lo]",
    "[::1",
    "::1",
)
METADATA = (
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "168.63.129.16",
    "100.100.100.200",
    "metadata.google.internal",
    "instance-data",
)


def _filled(text: str, sandbox: Sandbox) -> bytes:
    walls = sandbox.walls
    ports = {"EVIL": walls.evil.port, "OK": walls.ok.port, "PRIVATE": walls.private.port}
    for name, port in ports.items():
        text = text.replace(f":{name}", f":{port}")
    return f"{text}\n\n".replace("\n", "\r\n").encode()


@pytest.mark.parametrize("request_text", REQUESTS.values(), ids=REQUESTS)
async def test_a_name_is_not_reached(sandbox: Sandbox, request_text: str) -> None:
    before = len(sandbox.walls.zone.queries)
    answer = await sandbox.door.say(_filled(request_text, sandbox))
    assert answer.status in (0, 400, 403, 404, 426, 501)
    assert sandbox.walls.untouched()
    assert len(sandbox.walls.zone.queries) == before  # not even looked up
    await sandbox.recorded()


@pytest.mark.parametrize("host", LOOPBACK + METADATA)
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


BEHIND = "GET http://evil.test:EVIL/ HTTP/1.1\nHost: x"
SMUGGLED = {
    "a second request behind the first": f"GET http://ok.test:OK/ HTTP/1.1\nHost: x\n\n{BEHIND}",
    "a request in a body": f"POST http://ok.test:OK/ HTTP/1.1\nHost: x\nContent-Length: 5\n\n{BEHIND}",
    "one after a chunk": f"POST http://ok.test:OK/ HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\n\n{BEHIND}",
}


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
