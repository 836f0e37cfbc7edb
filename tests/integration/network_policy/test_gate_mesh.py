"""A stock Envoy, configured as the documentation has it, asks by Envoy's own protocols."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from stockade_network_policy.envoy.server import serve

from support.gate import ENVOY, PLENTY, RunningGate, needs_envoy, policy, running_gate, until
from support.origins import Origin, origin

pytestmark = [pytest.mark.gate, needs_envoy]
EXAMPLE = Path(__file__).parents[3] / "docs/examples/mesh/envoy.yaml"


@dataclass
class Mesh:
    """The service, a mesh's Envoy in front of an origin, and a client that uses it as its proxy."""

    service: RunningGate
    origin: Origin
    client: httpx.AsyncClient
    channel: grpc.aio.Channel

    @property
    def url(self) -> str:
        """The origin, by a name that Envoy resolves by the host's own table."""
        return f"http://localhost:{self.origin.port}"


@pytest_asyncio.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with origin() as behind, running_gate() as service:
        await service.put(policy(block_unknown_domains=True, ports=(80, 443, behind.port)))
        directory = service.run_dir / "services"
        serving = asyncio.create_task(serve(service.judgement, directory, "stockade"))
        port = _free_port()
        text = EXAMPLE.read_text().replace("3128", str(port)).replace("/run/stockade/services", str(directory))
        (tmp_path / "envoy.yaml").write_text(text)
        command = (ENVOY, "-c", tmp_path / "envoy.yaml", "--disable-hot-restart", "-l", "error")
        envoy = await asyncio.create_subprocess_exec(*command)
        await until(lambda: _listens(port) and (directory / "envoy.sock").exists())
        async with (
            httpx.AsyncClient(proxy=f"http://127.0.0.1:{port}") as client,
            grpc.aio.insecure_channel(f"unix:{directory}/envoy.sock") as channel,
        ):
            yield Mesh(service, behind, client, channel)
        envoy.kill()
        await envoy.wait()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def test_what_policy_allows_passes_and_its_outcome_is_joined(mesh: Mesh) -> None:
    await mesh.service.put(_open(mesh))
    answer = await mesh.client.get(f"{mesh.url}/path", headers={"Proxy-Authorization": "Basic secret"})
    assert answer.status_code == 200
    allowed = await mesh.service.entry(action="ALLOWED", sandbox="sb-mesh", agent="ana")
    outcome = await mesh.service.entry(action="OUTCOME", intent_id=allowed["id"])
    assert (outcome["status"], outcome["bytes_received"]) == (200, 3)
    assert "secret" not in mesh.origin.heads[0]


async def test_what_policy_refuses_says_why(mesh: Mesh) -> None:
    answer = await mesh.client.get("http://evil.test/")
    assert (answer.status_code, answer.json()["rule"]) == (403, "block_unknown_domains")
    assert answer.headers["x-stockade-decision"] == answer.json()["decision"]
    await mesh.service.entry(action="BLOCKED", domain="evil.test", agent="ana")


async def test_a_limit_says_when_to_come_again(mesh: Mesh) -> None:
    limits = replace(PLENTY, burst_size=1, requests_per_minute=1)
    await mesh.service.put(replace(_open(mesh), limits=limits))
    statuses = [(await mesh.client.get(mesh.url)).status_code for _ in range(2)]
    assert statuses == [200, 429]


async def test_the_rate_limit_service_takes_from_the_same_buckets(mesh: Mesh) -> None:
    await mesh.service.put(replace(_open(mesh), limits=replace(PLENTY, burst_size=3, requests_per_minute=1)))
    ask = rls_pb2_grpc.RateLimitServiceStub(mesh.channel).ShouldRateLimit
    request = rls_pb2.RateLimitRequest(domain="stockade", hits_addend=2)
    entries = request.descriptors.add().entries
    entries.add(key="agent", value="ana")
    entries.add(key="agent_type", value="tester")
    codes = [(await ask(request)).overall_code for _ in range(2)]
    assert codes == [rls_pb2.RateLimitResponse.OK, rls_pb2.RateLimitResponse.OVER_LIMIT]
    assert (await mesh.client.get(mesh.url)).status_code == 200  # the third token: what was refused cost none
    assert (await mesh.client.get(mesh.url)).status_code == 429


async def test_a_route_that_asks_for_limits_is_counted_there_too(mesh: Mesh) -> None:
    await mesh.service.put(replace(_open(mesh), limits=replace(PLENTY, burst_size=2, requests_per_minute=1)))
    statuses = [(await mesh.client.get(f"{mesh.url}/limited")).status_code for _ in range(2)]
    assert statuses == [200, 429]  # one for the decision, one for the limit


CHECKS: dict[str, tuple[dict[str, Any], int]] = {
    "nobody says who asks": ({"request": {"http": {"method": "GET", "host": "ok.test"}}}, 407),
    "a certificate says it": (
        {
            "source": {"principal": "spiffe://stockade/agent/tester/ana"},
            "request": {"http": {"method": "GET", "host": "evil.test"}},
        },
        403,
    ),
    "a certificate of another trust domain says it": (
        {
            "source": {"principal": "spiffe://elsewhere/agent/tester/ana"},
            "request": {"http": {"method": "GET", "host": "ok.test"}},
        },
        407,
    ),
    "a header says it": (
        {"request": {"http": {"method": "GET", "host": "ok.test", "headers": {"x-stockade-agent": "ana"}}}},
        407,
    ),
    "a connection, by its server name": (
        {
            "context_extensions": {"stockade-agent": "ana", "stockade-agent-type": "tester"},
            "tls_session": {"sni": "evil.test"},
            "destination": {"address": {"socket_address": {"address": "1.1.1.1", "port_value": 443}}},
        },
        403,
    ),
}


@pytest.mark.parametrize(("attributes", "status"), CHECKS.values(), ids=CHECKS)
async def test_who_asks_is_never_said_by_a_header(mesh: Mesh, attributes: dict[str, Any], status: int) -> None:
    check = external_auth_pb2_grpc.AuthorizationStub(mesh.channel).Check
    answer = await check(external_auth_pb2.CheckRequest(attributes=attributes))
    assert answer.denied_response.status.code == status


def _open(mesh: Mesh) -> Any:
    """A policy that lets the origin's name pass, which nobody could write."""
    return policy("localhost", ports=(80, 443, mesh.origin.port))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
