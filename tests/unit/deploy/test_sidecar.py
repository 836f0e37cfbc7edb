"""The chart's Envoy before policy, run: which gateways may ask by Envoy's own protocols, and nothing else by them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from support.authority import Authority
from support.chart import named, needs_helm, rendered
from support.gate import ENVOY, needs_envoy, until

pytestmark = [pytest.mark.gate, needs_envoy, needs_helm]
MESH, CALLERS, CHECK = "9191", "9443", "/envoy.service.auth.v3.Authorization/Check"
GATEWAY, OTHER = "spiffe://stockade/service/egress-gateway", "spiffe://stockade/operator/ana"


@dataclass(frozen=True)
class Sidecar:
    """A running Envoy before a service that answers every call with its own method's name."""

    authority: Authority
    ports: dict[str, int]

    async def call(self, method: str, pair: tuple[Path, Path] | None) -> bytes:
        certificate, key = (path.read_bytes() for path in pair) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials((self.authority.place / "ca.crt").read_bytes(), key, certificate)
        async with grpc.aio.secure_channel(f"localhost:{self.ports[MESH]}", credentials) as channel:
            return bytes(await channel.unary_unary(method)(b"", timeout=5))


class Echo(grpc.GenericRpcHandler):
    """Answers a call of any name with that name."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(_request: bytes, _context: object) -> bytes:
            return str(details.method).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest_asyncio.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    authority = Authority.create(tmp_path / "ca")
    tls = authority.directory("tls", "spiffe://stockade/service/policy")
    ports = {port: free_port() for port in (MESH, CALLERS)}
    configure(tmp_path, tls, ports)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Echo()])
    server.add_insecure_port(f"unix:{tmp_path}/envoy.sock")
    await server.start()
    command = (ENVOY, "-c", tmp_path / "envoy.yaml", "--disable-hot-restart", "-l", "error", "--concurrency", "1")
    envoy = await asyncio.create_subprocess_exec(*command)
    try:
        await until(lambda: all(listens(port) for port in ports.values()))
        yield Sidecar(authority, ports)
    finally:
        with suppress(ProcessLookupError):  # it refused its configuration
            envoy.kill()
        await envoy.wait()
        await server.stop(None)


def configure(place: Path, tls: Path, ports: dict[str, int]) -> None:
    """The chart's files, with this test's places and ports in the place of a pod's."""
    changes = {
        "/etc/envoy": str(place),
        "/etc/stockade/tls": str(tls),
        "/run/stockade/services/": f"{place}/",
        "/tmp/admin.sock": f"{place}/admin.sock",
        "0.0.0.0": "127.0.0.1",
        **{f"port_value: {old}": f"port_value: {new}" for old, new in ports.items()},
    }
    for file, written in named(rendered(), "ConfigMap", "policy-envoy")["data"].items():
        text = written
        for old, new in changes.items():
            text = text.replace(old, new)
        (place / file).write_text(text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def refused(call: Awaitable[bytes]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_who_may_call_what(sidecar: Sidecar, tmp_path: Path) -> None:
    gateway = sidecar.authority.issue("gateway", GATEWAY)
    foreign = Authority.create(tmp_path / "foreign").issue("gateway", GATEWAY)

    assert await sidecar.call(CHECK, gateway) == CHECK.encode()
    cases = {
        "no certificate": None,
        "a certificate of another caller": sidecar.authority.issue("other", OTHER),
        "the right name from another authority": foreign,
    }
    for case, pair in cases.items():
        assert await refused(sidecar.call(CHECK, pair)) == grpc.StatusCode.UNAVAILABLE, case
    other = "/stockade.networkpolicy.v1.PolicyService/UpdatePolicy"
    assert await refused(sidecar.call(other, gateway)) == grpc.StatusCode.UNIMPLEMENTED
