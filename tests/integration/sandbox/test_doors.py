"""The ways out of a WHITELISTED sandbox, against a gate that records what it is asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from support.supervised import PYTHON, Sandbox, supervised

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("engine"), pytest.mark.asyncio(loop_scope="module")]

RESOLVE = "import socket; print(socket.getaddrinfo('{}', 80, proto=socket.IPPROTO_TCP)[0][4][0])"
TALK = """
import socket, sys
s = socket.create_connection(("{host}", {port}), timeout=5)
s.sendall({data!r})
while True:
    got = s.recv(65536)
    if not got: break
    sys.stdout.buffer.write(got)
    if got.endswith(b"END"): break
"""


@dataclass
class Gate:
    """Answers requests for allowed.test, refuses others, echoes inside tunnels; remembers request lines."""

    asked: list[bytes] = field(default_factory=list)
    server: asyncio.Server | None = None

    async def serve(self, path: Path) -> None:
        self.server = await asyncio.start_unix_server(self._answer, path)
        path.chmod(0o666)  # noqa: ASYNC240 - a socket of the test's own

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line = head.split(b"\r\n")[0]
                self.asked.append(line)
                if b"allowed.test" not in line:
                    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied")
                    break
                if line.startswith(b"CONNECT"):
                    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    while data := await reader.read(65536):
                        writer.write(b"echo " + data + b"END")
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                await writer.drain()
                if b"X-Last" in head:
                    break
        writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate() -> Gate:
    return Gate()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(engine: object, gate: Gate) -> AsyncIterator[Sandbox]:
    async with supervised(doors=True) as running:
        await gate.serve(running.directory / "egress.sock")
        yield running
        assert gate.server
        gate.server.close()


async def talk(sandbox: Sandbox, host: str, port: int, data: bytes) -> bytes:
    result = await sandbox.run(*PYTHON, "-c", TALK.format(host=host, port=port, data=data))
    return result.stdout or result.stderr


async def test_a_program_that_knows_proxies_finds_it(sandbox: Sandbox, gate: Gate) -> None:
    result = await sandbox.run("wget", "-q", "-O", "-", "http://allowed.test/page")
    assert result.stdout == b"hello", result
    assert gate.asked[-1] == b"GET http://allowed.test/page HTTP/1.1"


async def test_the_variables_are_set(sandbox: Sandbox) -> None:
    lines = (await sandbox.run("env")).stdout.decode().split()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        assert f"{name}=http://127.0.0.1:3128" in lines
    assert "NODE_USE_ENV_PROXY=1" in lines
    assert "NO_PROXY=localhost,127.0.0.1,::1" in lines


async def test_each_name_has_its_own_address(sandbox: Sandbox) -> None:
    names = ["allowed.test", "other.test", "Allowed.TEST", "a.b.c.example"]
    found = [(await sandbox.run(*PYTHON, "-c", RESOLVE.format(name))).stdout.strip() for name in names]
    assert found[0] == found[2]
    assert len(set(found)) == 3
    assert all(address.startswith(b"127.") for address in found)


async def test_plain_http_without_a_proxy_is_asked_of_the_gate(sandbox: Sandbox, gate: Gate) -> None:
    first = b"GET /1 HTTP/1.1\r\nHost: allowed.test\r\n\r\n"
    last = b"GET /2 HTTP/1.1\r\nHost: allowed.test\r\nX-Last: yes\r\n\r\n"
    answer = await talk(sandbox, "allowed.test", 80, first + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert gate.asked[-2:] == [b"GET http://allowed.test/1 HTTP/1.1", b"GET http://allowed.test/2 HTTP/1.1"]


async def test_a_refusal_is_the_gates_own(sandbox: Sandbox) -> None:
    answer = await talk(sandbox, "denied.test", 80, b"GET / HTTP/1.1\r\nHost: denied.test\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403")


async def test_another_host_in_the_request_is_refused_at_the_door(sandbox: Sandbox, gate: Gate) -> None:
    before = len(gate.asked)
    answer = await talk(sandbox, "allowed.test", 80, b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert len(gate.asked) == before


async def test_https_without_a_proxy_is_a_tunnel(sandbox: Sandbox, gate: Gate) -> None:
    assert await talk(sandbox, "allowed.test", 443, b"\x16\x03\x01 hello") == b"echo \x16\x03\x01 helloEND"
    assert gate.asked[-1] == b"CONNECT allowed.test:443 HTTP/1.1"


async def test_a_refused_tunnel_ends_without_a_word(sandbox: Sandbox, gate: Gate) -> None:
    assert b"HTTP" not in await talk(sandbox, "denied.test", 443, b"\x16\x03\x01")
    assert gate.asked[-1] == b"CONNECT denied.test:443 HTTP/1.1"


@pytest.mark.parametrize("port", [22, 8080, 25])
async def test_other_ports_lead_nowhere(sandbox: Sandbox, port: int) -> None:
    assert b"ConnectionRefused" in await talk(sandbox, "allowed.test", port, b"x")


async def test_an_address_that_was_never_given_leads_nowhere(sandbox: Sandbox, gate: Gate) -> None:
    before = len(gate.asked)
    answer = await talk(sandbox, "127.99.99.99", 80, b"GET / HTTP/1.1\r\nHost: 127.99.99.99\r\n\r\n")
    assert b"HTTP" not in answer
    assert len(gate.asked) == before


@pytest.mark.parametrize("address", ["1.1.1.1", "10.0.0.1", "169.254.169.254", "172.17.0.1"])
async def test_there_is_no_route_by_address(sandbox: Sandbox, address: str) -> None:
    assert b"Network is unreachable" in await talk(sandbox, address, 80, b"x")


async def test_a_tunnel_carries_megabytes_both_ways(sandbox: Sandbox) -> None:
    program = """
import socket, threading
s = socket.create_connection(("127.0.0.1", 3128), timeout=10)
s.sendall(b"CONNECT allowed.test:443 HTTP/1.1\\r\\nHost: allowed.test:443\\r\\n\\r\\n")
assert s.recv(1000).startswith(b"HTTP/1.1 200")
def send():
    s.sendall(bytes(5_000_000)); s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
zeros = 0
while data := s.recv(65536): zeros += data.count(0)
print(zeros)
"""
    assert (await sandbox.run(*PYTHON, "-c", program)).stdout == b"5000000\n"


async def test_closing_the_doors_cuts_what_runs_and_opening_lets_it_through_again(sandbox: Sandbox) -> None:
    await sandbox.supervision.set_doors(sandbox.name, False)
    assert b"PROXY" not in (await sandbox.run("env")).stdout
    assert b"ConnectionRefused" in await talk(sandbox, "127.0.0.1", 3128, b"x")
    assert b"gaierror" in (await sandbox.run(*PYTHON, "-c", RESOLVE.format("allowed.test"))).stderr
    await sandbox.supervision.set_doors(sandbox.name, True)
    assert await talk(sandbox, "allowed.test", 443, b"x") == b"echo xEND"


async def test_a_gate_that_is_away_is_a_closed_connection(sandbox: Sandbox, gate: Gate) -> None:
    (sandbox.directory / "egress.sock").unlink()
    for host, port in (("127.0.0.1", 3128), ("allowed.test", 80), ("allowed.test", 443)):
        assert b"HTTP" not in await talk(sandbox, host, port, b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
    assert (await sandbox.run("true")).ending.exit_code == 0
