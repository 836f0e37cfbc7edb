"""`stockade mcp`, spoken to by the official client: on standard input and output, and over HTTP with tokens."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from support.stack import ALLOWED, REFUSED, STOCKADE, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

ALICE, BOB = secrets.token_hex(32), secrets.token_hex(32)


def sandboxes(stack: Stack, agent: str) -> set[str]:
    """The names of an agent's sandboxes."""
    listed = json.loads(stack.stockade("sandbox", "list", "--agent", agent, "--json").stdout)
    return {each["name"] for each in listed}


def text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


def until(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.1)


@asynccontextmanager
async def spoken(stack: Stack, agent: str, *options: str) -> AsyncIterator[Client]:
    """A client of a server process of its own, on its standard input and output."""
    words = ["mcp", "--agent", agent, "--agent-type", "test-generator", *options]
    environment = os.environ | stack.environment
    parameters = StdioServerParameters(command=str(STOCKADE), args=words, env=dict(environment))
    async with Client(stdio_client(parameters)) as client:
        yield client


async def test_a_session(stack: Stack) -> None:
    async with spoken(stack, "mcp-1") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"run_command", "run_code", "read_file", "write_file", "list_files", "fetch_url",
                              "network_policy"}  # fmt: skip
        assert "sandbox" not in tools["run_command"].input_schema["properties"]

        done = await client.call_tool("run_code", {"code": "print(6 * 7)"})
        assert (done.is_error, done.structured_content["stdout"], done.structured_content["exit_code"]) == (
            False, "42\n", 0,
        )  # fmt: skip
        failed = await client.call_tool("run_command", {"command": "echo no >&2; exit 3"})
        assert (failed.structured_content["exit_code"], failed.structured_content["stderr"]) == (3, "no\n")

        await client.call_tool("write_file", {"path": "/workspace/src/a.txt", "content": "one\n"})
        await client.call_tool("write_file", {"path": "/workspace/src/a.txt", "content": "two\n", "append": True})
        assert text(await client.call_tool("read_file", {"path": "/workspace/src/a.txt"})) == "one\ntwo\n"
        assert "a.txt" in text(await client.call_tool("list_files", {"path": "/workspace/src"}))

        assert ALLOWED in text(await client.call_tool("network_policy", {}))
        answered = await client.call_tool("fetch_url", {"url": f"http://{ALLOWED}/"})
        assert (answered.is_error, text(answered).splitlines()[0]) == (False, "HTTP 200")
        for url in (f"http://{REFUSED}/", f"https://{REFUSED}/"):
            refused = await client.call_tool("fetch_url", {"url": url})
            assert refused.is_error
            assert "BLOCKED by block_unknown_domains" in text(refused)

        name = done.structured_content["sandbox"]
        assert sandboxes(stack, "mcp-1") == {name}
        shown = await client.read_resource(done.structured_content["trace"])
        assert "sandbox.exec" in shown.contents[0].text
        log = await client.read_resource(f"stockade://{name}/log")
        assert f"BLOCKED {REFUSED}" in log.contents[0].text
    assert sandboxes(stack, "mcp-1") == set()


async def test_a_long_run_tells_progress_and_is_cancelled(stack: Stack) -> None:
    async with spoken(stack, "mcp-2") as client:
        name = (await client.call_tool("run_command", {"command": "true"})).structured_content["sandbox"]
        begun = asyncio.Event()

        async def progress(_done: float, _total: float | None, _message: str | None) -> None:
            begun.set()

        command = {"command": "echo begun; exec sleep 97", "timeout_s": 600}
        call = asyncio.create_task(client.call_tool("run_command", command, progress_callback=progress))
        await asyncio.wait_for(begun.wait(), 20)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        for _ in range(100):
            left = await client.call_tool("run_command", {"command": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"})
            if "sleep 97" not in left.structured_content["stdout"]:
                break
            await asyncio.sleep(0.1)
        assert "sleep 97" not in left.structured_content["stdout"]
        assert left.structured_content["sandbox"] == name


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("run_command", {"command": "sleep 30", "timeout_s": 0.2}, "TIMEOUT"),
    ("run_command", {"command": "x", "timeout_s": -1}, "timeout_s"),
    ("read_file", {"path": "/nowhere"}, "/nowhere"),
    ("read_file", {"path": "relative"}, "path"),
    ("fetch_url", {"url": "ftp://example.com/"}, "no http or https URL"),
    ("fetch_url", {"url": "http://[::1"}, "no http or https URL"),
]


async def test_what_goes_wrong_is_told(stack: Stack) -> None:
    async with spoken(stack, "mcp-3") as client:
        for tool, arguments, said in WRONG:
            result = await client.call_tool(tool, arguments)
            assert said in text(result) + json.dumps(result.structured_content), (tool, arguments)


async def test_a_sandbox_that_an_operator_ended_is_told_and_replaced(stack: Stack) -> None:
    async with spoken(stack, "mcp-4") as client:
        first = (await client.call_tool("run_command", {"command": "true"})).structured_content["sandbox"]
        assert stack.stockade("sandbox", "stop", first).returncode == 0
        told = await client.call_tool("run_command", {"command": "true"})
        assert told.is_error
        assert "the next call gets a new, empty sandbox" in text(told).lower()
        again = await client.call_tool("run_command", {"command": "true"})
        assert again.structured_content["exit_code"] == 0
        assert again.structured_content["sandbox"] != first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_client_leaves_no_sandbox(stack: Stack, number: signal.Signals) -> None:
    """The client is killed; the server sees the end of its input."""
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": {"name": "run_command", "arguments": {"command": "sleep 96"}}}  # fmt: skip
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}  # fmt: skip
    lines = [hello, {"jsonrpc": "2.0", "method": "notifications/initialized"}, call]
    told = "\n".join(map(json.dumps, lines)) + "\n"
    agent = f"mcp-killed-{number.value}"
    server = f"{STOCKADE} mcp --agent {agent} --agent-type test-generator"
    client = subprocess.Popen(
        ["sh", "-c", f"(printf %s \"$TOLD\"; exec sleep 95) | {server} & wait"],
        env=os.environ | stack.environment | {"TOLD": told}, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until(lambda: len(sandboxes(stack, agent)) == 1, 30)
    feeder = subprocess.run(["pgrep", "-g", str(client.pid), "-x", "sleep"], capture_output=True, check=True).stdout
    os.kill(int(feeder), number)
    until(lambda: not sandboxes(stack, agent), 30)
    client.wait(10)


@contextmanager
def served(stack: Stack, directory: Path) -> Iterator[str]:
    """A server over HTTP; its URL."""
    tokens = directory / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"# who may\n{ALICE} mcp-alice test-generator\n{BOB} mcp-bob\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [STOCKADE, "mcp", "--http", f"127.0.0.1:{port}", "--tokens", tokens],
        env=os.environ | stack.environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: _accepts(port), 30)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        assert process.wait(20) in (0, 130)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def called(url: str, token: str) -> AsyncIterator[Client]:
    """A client over HTTP that bears a token."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def test_over_http_a_sandbox_belongs_to_its_token(stack: Stack, tmp_path: Path) -> None:
    with served(stack, tmp_path) as url:
        async with called(url, ALICE) as alice, called(url, BOB) as bob:
            name = text(await alice.call_tool("create_sandbox", {}))
            done = await alice.call_tool("run_code", {"sandbox": name, "code": "print(6 * 7)"})
            assert done.structured_content["stdout"] == "42\n"
            for tool, arguments in (("run_command", {"command": "id"}), ("read_file", {"path": "/etc/passwd"}),
                                    ("end_sandbox", {})):  # fmt: skip
                refused = await bob.call_tool(tool, {"sandbox": name, **arguments})
                assert refused.is_error
                assert f"you have no sandbox '{name}'" in text(refused)
            with pytest.raises(Exception, match="you have no sandbox"):
                await bob.read_resource(f"stockade://{name}/log")
            assert sandboxes(stack, "mcp-alice") == {name}
            await alice.call_tool("end_sandbox", {"sandbox": name})
            assert sandboxes(stack, "mcp-alice") == set()
            await bob.call_tool("create_sandbox", {})
        assert len(sandboxes(stack, "mcp-bob")) == 1
    assert sandboxes(stack, "mcp-bob") == set(), "what its clients left, the server ends"


async def test_over_http_nobody_without_a_token(stack: Stack, tmp_path: Path) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with served(stack, tmp_path) as url:
        async with httpx2.AsyncClient() as http:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {ALICE}"}):
                assert (await http.post(url, json=call, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("options", "mode", "content", "said"),
    [
        (["--http", "127.0.0.1:0"], 0o600, "", "--tokens"),
        (["--http", "192.0.2.1:9", "--tokens", "F"], 0o600, "ALICE a", "--tls-cert"),
        (["--http", "localhost", "--tokens", "F"], 0o600, "ALICE a", "ADDRESS:PORT"),
        (["--http", "127.0.0.1:0", "--tokens", "F"], 0o644, "ALICE a", "chmod 600"),
        (["--http", "127.0.0.1:0", "--tokens", "F"], 0o600, "short a", "openssl rand"),
        (["--http", "127.0.0.1:0", "--tokens", "F"], 0o600, "# none", "has no token"),
        (["--tokens", "F"], 0o600, "ALICE a", "--http"),
    ],
)
def test_wrong_options_name_the_mend(
    stack: Stack, tmp_path: Path, options: list[str], mode: int, content: str, said: str
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(content.replace("ALICE", ALICE))
    tokens.chmod(mode)
    done = stack.stockade("mcp", *(str(tokens) if word == "F" else word for word in options))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert ALICE not in done.stderr
