"""The gate end to end on loopback: the real Envoy, the real judgement, real origins."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from stockade_network_policy.domain.policy import Limits

from support.dns import Zone, serving
from support.gate import RunningGate, needs_envoy, policy, running_gate
from support.origins import Origin, authority, origin
from support.proxy import Proxy

pytestmark = [pytest.mark.gate, needs_envoy]


@dataclass
class World:
    """A gate, what lies behind it, and a sandbox's door."""

    gate: RunningGate
    zone: Zone
    plain: Origin
    tls: Origin
    private: Origin
    trust: ssl.SSLContext
    door: Proxy


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    ca = authority(tmp_path, "secure.test")
    trust = ca.client()
    trust.check_hostname = False
    names = {"ok.test": ["127.0.0.1"], "secure.test": ["127.0.0.1"], "private.test": ["127.0.0.2"]}
    async with (
        serving(Zone(dict(names))) as zone,
        origin() as plain,
        origin(tls=ca.server) as tls,
        origin("127.0.0.2") as private,
    ):
        allowed = policy(
            "ok.test", "secure.test", "private.test", "nowhere.test", ports=(80, 443, plain.port, tls.port, private.port)
        )
        exceptions = (plain.endpoint, tls.endpoint)
        async with running_gate(allowed, exceptions=exceptions, resolvers=(zone.address,)) as gate:
            yield World(gate, zone, plain, tls, private, trust, await gate.open())


async def test_an_allowed_request_answers_and_its_outcome_is_joined(world: World) -> None:
    answer = await world.door.get(f"http://ok.test:{world.plain.port}/path?token=1")
    assert (answer.status, answer.body) == (200, b"ok\n")
    allowed = await world.gate.entry(action="ALLOWED", domain="ok.test", sandbox="sb-one")
    assert (allowed["agent"], allowed["rule"], allowed["path"]) == ("agent-sb-one", "allowed_domains:ok.test", "/path")
    outcome = await world.gate.entry(action="OUTCOME", intent_id=allowed["id"])
    assert (outcome["status"], outcome["bytes_received"]) == (200, 3)
    assert outcome["metadata"]["upstream"] == world.plain.endpoint


async def test_a_refused_request_says_by_which_rule_and_why(world: World) -> None:
    answer = await world.door.get("http://evil.test/")
    print(answer)
    told = answer.json()
    assert answer.status == 403
    assert (told["verdict"], told["rule"]) == ("BLOCKED", "block_unknown_domains")
    assert "evil.test" in told["reason"]
    entry = await world.gate.entry(action="BLOCKED", domain="evil.test")
    assert entry["id"] == told["decision"] == answer.headers["x-stockade-decision"]
    assert world.zone.queries == []  # a refused name is not even looked up
