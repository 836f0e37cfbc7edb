"""The stock sidecar that deploy/envoy writes, run: two nodes, a machine of clients, and calls between them."""

import asyncio
import re
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from stockade_sandbox.handlers.room import CREATE as ROOM
from stockade_sandbox.handlers.room import FULL

from support.authority import Authority
from support.gate import ENVOY, needs_envoy, until

pytestmark = [pytest.mark.gate, needs_envoy]
SIDECAR = Path(__file__).parents[3] / "deploy/envoy/sidecar"
CREATE = f"/{ROOM}"
GET = "/stockade.sandbox.v1.SandboxService/GetSandbox"
LIST = "/stockade.networkpolicy.v1.PolicyService/ListPolicies"
Metadata = tuple[tuple[str, str], ...]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service(grpc.GenericRpcHandler):
    """Answers any call with the node's name, or refuses it; counts what reached it and from whom."""

    def __init__(self, node: str) -> None:
        self.node, self.full, self.fills = node, False, False
        self.health = health.aio.HealthServicer()
        self.reached: Counter[str] = Counter()
        self.callers: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = str(details.method)

        async def answer(_request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            self.reached[method] += 1
            found = dict(context.invocation_metadata() or ())
            self.callers.append(str(found["x-forwarded-client-cert"]))
            if self.full:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "NODE_FULL")
            if self.fills:
                await self.say(room=False)
                await context.send_initial_metadata(FULL)
            return self.node.encode()

        return grpc.unary_unary_rpc_method_handler(answer)

    async def say(self, room: bool) -> None:
        """In its health: whether it has room for another sandbox."""
        await self.health.set(ROOM, HealthCheckResponse.SERVING if room else HealthCheckResponse.NOT_SERVING)


@dataclass
class Node:
    """A node: its services, all in one, and the Envoy beside them."""

    name: str
    place: Path
    port: int = field(default_factory=free_port)
    tls: Path = Path()
    service: Service = field(init=False)
    servers: dict[str, "grpc.aio.Server"] = field(default_factory=dict)

    def configure(self) -> None:
        """Write its Envoy's configuration."""
        words = ("--name", self.name, "--tls", self.tls, "--listen", f"127.0.0.1:{self.port}")
        subprocess.run([sys.executable, SIDECAR, self.place, *words, "--run-dir", self.place / "run"], check=True)

    async def serve(self, short: str) -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([self.service])
        health_pb2_grpc.add_HealthServicer_to_server(self.service.health, server)
        server.add_insecure_port(f"unix:{self.place}/run/sidecar/{short}.sock")
        await server.start()
        self.servers[short] = server

    async def stop(self, short: str) -> None:
        await self.servers[short].stop(None)


@dataclass
class Mesh:
    """Two nodes and a client's Envoy, reached at `out`."""

    authority: Authority
    place: Path
    nodes: dict[str, Node]
    out: Path

    async def call(self, method: str, metadata: Metadata = ()) -> str:
        async with grpc.aio.insecure_channel(f"unix:{self.out}") as channel:
            return bytes(await channel.unary_unary(method)(b"", timeout=10, metadata=metadata)).decode()

    def reached(self, method: str) -> list[int]:
        """How often each node's service was reached."""
        return [node.service.reached[method] for node in self.nodes.values()]

    def configure_client(self, *names: str) -> Path:
        """Write the client's configuration, to call these nodes."""
        place = self.place / "client"
        peers = [word for name in names for word in ("--peer", f"{name}=127.0.0.1:{self.nodes[name].port}")]
        tls = self.authority.place / "client"
        words = [place, "--name", "client", "--tls", tls, "--out", f"unix:{self.out}", *peers]
        subprocess.run([sys.executable, SIDECAR, *words], check=True)
        return place


@asynccontextmanager
async def envoy(directory: Path, ready: Callable[[], bool]) -> AsyncIterator[None]:
    words = ("-c", directory / "envoy.yaml", "--disable-hot-restart", "-l", "error", "--concurrency", "1")
    process = await asyncio.create_subprocess_exec(ENVOY, *words)
    try:
        await until(ready)
        yield
    finally:
        await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        process.kill()
    await process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: a socket's ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="mesh-") as directory:
        yield Path(directory)


@pytest_asyncio.fixture
async def mesh(place: Path) -> AsyncIterator[Mesh]:
    authority = Authority.create(place / "tls")
    authority.directory("client", "spiffe://stockade/operator/ana")
    nodes = {name: Node(name, place / name) for name in ("node-1", "node-2")}
    mesh = Mesh(authority, place, nodes, place / "out.sock")
    async with AsyncExitStack() as stack:
        for node in nodes.values():
            (node.place / "run/sidecar").mkdir(parents=True)
            node.service = Service(node.name)
            await node.service.say(room=True)
            for short in ("sandbox", "policy", "cache", "audit"):
                await node.serve(short)
                stack.push_async_callback(node.stop, short)
            node.tls = authority.directory(node.name, f"spiffe://stockade/node/{node.name}")
            node.configure()
            await stack.enter_async_context(envoy(node.place, lambda port=node.port: listens(port)))
        await stack.enter_async_context(envoy(mesh.configure_client("node-1", "node-2"), mesh.out.exists))
        for name in nodes:  # Envoy has taken its first look at each
            for method in (GET, CREATE):
                await answered(lambda name=name, method=method: mesh.call(method, (("x-stockade-node", name),)))
            nodes[name].service.reached.clear()
        yield mesh


async def answered(call: Callable[[], Awaitable[str]]) -> str:
    for _ in range(50):
        with suppress(grpc.aio.AioRpcError):
            return await call()
        await asyncio.sleep(0.1)
    return await call()


async def creates_go_to(mesh: Mesh, *names: str) -> None:
    """Until creates go to these nodes and no other."""
    for _ in range(50):
        if (found := {await mesh.call(CREATE) for _ in range(10)}) == set(names):
            return
        await asyncio.sleep(0.1)
    assert found == set(names)


async def refused(call: Awaitable[str]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_a_caller_is_whom_its_certificate_names(mesh: Mesh) -> None:
    forged = (("x-forwarded-client-cert", "By=spiffe://stockade/node/node-1;URI=spiffe://stockade/operator/root"),)
    await mesh.call(GET, (("x-stockade-node", "node-1"), *forged))
    caller = mesh.nodes["node-1"].service.callers[-1]
    assert re.sub(r"Hash=\w+;", "", caller) == "By=spiffe://stockade/node/node-1;URI=spiffe://stockade/operator/ana"


async def test_a_call_reaches_the_node_that_it_names_and_no_other(mesh: Mesh) -> None:
    for name in mesh.nodes:
        assert [await mesh.call(GET, (("x-stockade-node", name),)) for _ in range(3)] == [name] * 3
    assert await refused(mesh.call(GET, (("x-stockade-node", "node-9"),))) == grpc.StatusCode.UNAVAILABLE
    assert mesh.reached(GET) == [3, 3]


async def test_a_create_that_a_full_node_refuses_is_placed_on_another(mesh: Mesh) -> None:
    mesh.nodes["node-1"].service.full = True
    assert {await mesh.call(CREATE) for _ in range(20)} == {"node-2"}


async def test_a_node_without_room_is_not_asked_until_it_has_some(mesh: Mesh) -> None:
    node = mesh.nodes["node-1"].service
    await node.say(room=False)
    await creates_go_to(mesh, "node-2")
    before = node.reached[CREATE]
    assert {await mesh.call(CREATE) for _ in range(20)} == {"node-2"}
    assert node.reached[CREATE] == before
    assert await mesh.call(GET, (("x-stockade-node", "node-1"),)) == "node-1"
    await node.say(room=True)
    await creates_go_to(mesh, "node-1", "node-2")


async def test_the_answer_to_a_create_that_filled_its_node_says_so_at_once(mesh: Mesh) -> None:
    mesh.nodes["node-1"].service.fills = True
    async with grpc.aio.insecure_channel(f"unix:{mesh.out}") as channel:
        for _ in range(30):
            call = channel.unary_unary(CREATE)(b"", timeout=10)
            await call
            assert FULL[0][0] not in dict(await call.initial_metadata() or ()), "it is for Envoys"
    assert mesh.reached(CREATE) == [1, 29]


async def test_with_all_nodes_full_the_caller_hears_why(mesh: Mesh) -> None:
    for node in mesh.nodes.values():
        node.service.full = True
        await node.service.say(room=False)
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.call(CREATE)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "NODE_FULL")
        await asyncio.sleep(0.3)


async def test_what_the_service_refuses_is_not_asked_elsewhere(mesh: Mesh) -> None:
    for node in mesh.nodes.values():
        node.service.full = True
    assert await refused(mesh.call(LIST)) == grpc.StatusCode.UNAVAILABLE
    assert sum(mesh.reached(LIST)) == 1


async def test_what_never_began_is_done_elsewhere(mesh: Mesh) -> None:
    await mesh.nodes["node-1"].stop("policy")
    await mesh.nodes["node-1"].stop("sandbox")
    assert {await mesh.call(LIST) for _ in range(6)} == {"node-2"}
    assert {await mesh.call(CREATE) for _ in range(6)} == {"node-2"}


CRASHES = """
import os, sys, grpc
from concurrent import futures

class Crash(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method.endswith("/CreateSandbox"):
            with open(sys.argv[2], "a") as reached:
                reached.write("1")
            os._exit(1)

server = grpc.server(futures.ThreadPoolExecutor(), handlers=[Crash()])
server.add_insecure_port("unix:" + sys.argv[1])
server.start()
server.wait_for_termination()
"""
"""A service that dies of the first create, and says in a file that it had begun."""


async def test_what_may_have_begun_is_not_done_twice(mesh: Mesh) -> None:
    reached = mesh.place / "reached"
    async with AsyncExitStack() as stack:
        for node in mesh.nodes.values():
            await node.stop("sandbox")
            socket = node.place / "run/sidecar/sandbox.sock"
            crashing = await asyncio.create_subprocess_exec(sys.executable, "-c", CRASHES, socket, reached)
            stack.push_async_callback(ended, crashing)
            await until(socket.exists)
        assert await refused(mesh.call(CREATE)) == grpc.StatusCode.UNAVAILABLE
    assert reached.read_text() == "1"


async def test_who_has_no_certificate_of_the_mesh_is_not_let_in(mesh: Mesh) -> None:
    foreign = Authority.create(mesh.place / "foreign")
    port, ca = mesh.nodes["node-1"].port, mesh.authority.place / "ca.crt"
    pairs = {
        "of another authority": foreign.issue("x", "spiffe://stockade/operator/ana"),
        "of another trust domain": mesh.authority.issue("x", "spiffe://elsewhere/operator/ana"),
    }
    for case, (certificate, key) in pairs.items():
        credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), certificate.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            assert await refused(channel.unary_unary(GET)(b"", timeout=5)) == grpc.StatusCode.UNAVAILABLE, case
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        assert await refused(channel.unary_unary(GET)(b"", timeout=5)) == grpc.StatusCode.UNAVAILABLE
    assert mesh.reached(GET) == [0, 0]


async def test_a_new_certificate_and_new_peers_are_taken_up_while_it_runs(mesh: Mesh) -> None:
    mesh.authority.directory("client", "spiffe://stockade/operator/ben")
    mesh.configure_client("node-2")

    async def taken_up() -> bool:
        there = {await mesh.call(LIST) for _ in range(4)} == {"node-2"}
        return there and mesh.nodes["node-2"].service.callers[-1].endswith("/operator/ben")

    for _ in range(100):
        if await taken_up():
            return
        await asyncio.sleep(0.1)
    assert await taken_up()


def test_what_makes_no_sense_is_said_in_one_line(tmp_path: Path) -> None:
    base = [sys.executable, SIDECAR, tmp_path, "--name", "n", "--tls", tmp_path]
    cases = {
        "nothing to do": [],
        "go together": ["--out", "127.0.0.1:1"],
        "'nonsense' is no ADDRESS:PORT": ["--listen", "nonsense"],
    }
    for said, words in cases.items():
        done = subprocess.run([*base, *words], check=False, capture_output=True, text=True)
        assert done.returncode != 0
        assert said in done.stderr.splitlines()[-1]
