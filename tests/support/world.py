"""A world on loopback for the gate's tests: Envoy, the judgement, origins behind them, and a DNS server."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.dns import Zone, serving
from support.gate import RunningGate, policy, running_gate
from support.origins import Origin, authority, origin
from support.proxy import Proxy

NAMES = {
    "ok.test": ["127.0.0.1"],
    "secure.test": ["127.0.0.1"],
    "private.test": ["127.0.0.2"],
    "six.test": ["::1"],
}


@dataclass
class World:
    """A gate, what lies behind it, and a sandbox's door. `private` has no exception: nothing may reach it."""

    gate: RunningGate
    zone: Zone
    plain: Origin
    tls: Origin
    private: Origin
    trust: ssl.SSLContext
    door: Proxy


@asynccontextmanager
async def a_world(directory: Path, **more: Any) -> AsyncIterator[World]:
    """A world whose gate has further settings."""
    ca = authority(directory, "secure.test")
    trust = ca.client()
    trust.check_hostname = False
    async with (
        serving(Zone({**NAMES})) as zone,
        origin() as plain,
        origin(tls=ca.server) as tls,
        origin("127.0.0.2") as private,
    ):
        ports = (80, 443, plain.port, tls.port, private.port)
        allowed = policy(*NAMES, "nowhere.test", ports=ports)
        exceptions = (plain.endpoint, tls.endpoint)
        async with running_gate(allowed, exceptions=exceptions, resolvers=(zone.address,), **more) as gate:
            yield World(gate, zone, plain, tls, private, trust, await gate.open())
