"""One gate for a file of attempts, and a sandbox of its own for each attempt."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from support.dns import Zone, serving
from support.gate import RunningGate, policy, running_gate, until
from support.origins import Authority, Origin, authority, origin
from support.proxy import Proxy

_numbers = itertools.count(1)


@dataclass
class Walls:
    """A gate and what must not be reached through it."""

    gate: RunningGate
    zone: Zone
    ca: Authority
    ok: Origin
    ok_tls: Origin
    evil: Origin
    private: Origin

    def untouched(self) -> bool:
        """Whether nothing forbidden was reached, not even by a bare connection."""
        return self.evil.untouched() and self.private.untouched()


@dataclass
class Sandbox:
    """A door for one attempt, and what the record says of it."""

    walls: Walls
    name: str
    door: Proxy

    async def recorded(self) -> None:
        """Fails unless the record says that this sandbox was refused something."""
        gate = self.walls.gate
        await until(
            lambda: bool(gate.entries(action="BLOCKED", sandbox=self.name)),
            3,
            f"a refusal of {self.name} on the record",
        )


NAMES = ("ok.test", "*.wild.test", "private.test", "alias.test", "rebind.test", "mixed.test", "special.test")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walls(tmp_path_factory: object) -> AsyncIterator[Walls]:
    directory: Path = tmp_path_factory.mktemp("walls")  # type: ignore[attr-defined]
    ca = authority(directory, "ok.test", "evil.test")
    answers = {
        "ok.test": ["127.0.0.1"],
        "evil.test": ["127.0.0.3"],
        "private.test": ["127.0.0.2"],
        "alias.test": ["->private.test"],
    }
    async with (
        serving(Zone({**answers})) as zone,
        origin() as ok,
        origin(tls=ca.server) as ok_tls,
        origin("127.0.0.3") as evil,
        origin("127.0.0.2") as private,
    ):
        ports = (80, 443, ok.port, ok_tls.port, evil.port, private.port)
        exceptions = (ok.endpoint, ok_tls.endpoint, evil.endpoint)
        async with running_gate(policy(*NAMES, ports=ports), exceptions=exceptions, resolvers=(zone.address,)) as gate:
            yield Walls(gate, zone, ca, ok, ok_tls, evil, private)


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(walls: Walls) -> AsyncIterator[Sandbox]:
    name = f"sb-{next(_numbers)}"
    door = await walls.gate.open(name)
    yield Sandbox(walls, name, door)
    await walls.gate.gate.doors.close(name)
