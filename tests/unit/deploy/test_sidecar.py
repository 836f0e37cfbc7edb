"""The sidecars' configuration, run: who may call by certificate, what is handed on, and where."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import pytest_asyncio

from support.authority import Authority
from support.gate import ENVOY, needs_envoy, until

pytestmark = [pytest.mark.gate, needs_envoy]
SIDECARS = Path(__file__).parents[3] / "deploy/kubernetes/sidecar"
MESH, METRICS, CHECK = "9191", "9464", "/envoy.service.auth.v3.Authorization/Check"
GATEWAY = "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway"
PROMETHEUS = "spiffe://cluster.local/ns/monitoring/sa/prometheus"


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

    async def get(self, path: str, pair: tuple[Path, Path]) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self.authority.place / "ca.crt"))
        context.load_cert_chain(*pair)
        async with httpx.AsyncClient(verify=context) as client:
            return await client.get(f"https://localhost:{self.ports[METRICS]}{path}")


class Echo(grpc.GenericRpcHandler):
    """Answers a call of any name with that name."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(_request: bytes, _context: object) -> bytes:
            return str(details.method).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest_asyncio.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    authority = Authority.create(tmp_path / "tls")
    certificate, key = authority.issue("server", "spiffe://cluster.local/ns/stockade/sa/policy")
    shutil.copy(certificate, authority.place / "tls.crt")
    shutil.copy(key, authority.place / "tls.key")
    ports = {port: free_port() for port in (MESH, METRICS)}
    configure("policy.yaml", tmp_path, ports)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Echo()])
    server.add_insecure_port(f"unix:{tmp_path}/envoy.sock")
    await server.start()
    metrics = await asyncio.start_unix_server(one_metric, tmp_path / "policy.metrics.sock")
    command = (ENVOY, "-c", tmp_path / "policy.yaml", "--disable-hot-restart", "-l", "error", "--concurrency", "1")
    envoy = await asyncio.create_subprocess_exec(*command)
    try:
        await until(lambda: all(listens(port) for port in ports.values()))
        yield Sidecar(authority, ports)
    finally:
        with suppress(ProcessLookupError):  # it refused its configuration
            envoy.kill()
        await envoy.wait()
        metrics.close()
        await server.stop(None)


async def one_metric(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nm\n")
    await writer.drain()
    writer.close()


def configure(name: str, place: Path, ports: dict[str, int]) -> None:
    """The repository's files, with this test's places and ports in the place of a pod's."""
    changes = {
        "/etc/envoy/": f"{place}/",
        "/etc/stockade/tls": f"{place}/tls",
        "/run/stockade/services/": f"{place}/",
        "/tmp/admin.sock": f"{place}/admin.sock",
        "0.0.0.0": "127.0.0.1",
        **{f"port_value: {old}": f"port_value: {new}" for old, new in ports.items()},
    }
    for file in (name, "certificate.yaml", "authority.yaml"):
        text = (SIDECARS / file).read_text()
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
    prometheus = sidecar.authority.issue("prometheus", PROMETHEUS)
    foreign = Authority.create(tmp_path / "foreign").issue("gateway", GATEWAY)

    assert await sidecar.call(CHECK, gateway) == CHECK.encode()
    cases = {
        "no certificate": (CHECK, None),
        "a certificate of another caller": (CHECK, prometheus),
        "the right name from another authority": (CHECK, foreign),
    }
    for case, (method, pair) in cases.items():
        assert await refused(sidecar.call(method, pair)) == grpc.StatusCode.UNAVAILABLE, case
    other = "/stockade.networkpolicy.v1.PolicyService/UpdatePolicy"
    assert await refused(sidecar.call(other, gateway)) == grpc.StatusCode.UNIMPLEMENTED

    assert (await sidecar.get("/metrics", prometheus)).text == "m\n"
    assert (await sidecar.get("/other", prometheus)).status_code == 404
    with pytest.raises((httpx.TransportError, ssl.SSLError)):  # TLS 1.3 refuses after the client's handshake is done
        await sidecar.get("/metrics", gateway)


@pytest.mark.parametrize("name", ["policy.yaml", "cache.yaml"])
def test_envoy_takes_it(name: str, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "tls")
    certificate, key = authority.issue("server", "spiffe://cluster.local/ns/stockade/sa/x")
    shutil.copy(certificate, authority.place / "tls.crt")
    shutil.copy(key, authority.place / "tls.key")
    configure(name, tmp_path, {})
    subprocess.run([ENVOY, "-c", tmp_path / name, "--mode", "validate", "-l", "error"], check=True, timeout=30)
