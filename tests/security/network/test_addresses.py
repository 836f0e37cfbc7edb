"""An allowed name does not lead to a refused address, whatever its DNS says and when."""

import asyncio

import pytest

from security.network.attempts import ADDRESSES
from security.network.conftest import Sandbox
from support.gate import needs_envoy

pytestmark = [pytest.mark.gate, needs_envoy, pytest.mark.asyncio(loop_scope="module")]


async def both_ways(sandbox: Sandbox, host: str) -> tuple[int, bytes]:
    """A plain request's status, and what a tunnel gave."""
    port = sandbox.walls.private.port
    trust = sandbox.walls.ca.client()
    trust.check_hostname = False
    plain = await sandbox.door.get(f"http://{host}:{port}/")
    return plain.status, await sandbox.door.fetch(f"{host}:{port}", trust, host)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_name_does_not_lead_to_a_refused_address(sandbox: Sandbox, address: str) -> None:
    host = f"{sandbox.name}.wild.test"
    sandbox.walls.zone.names[host] = [address]
    assert await both_ways(sandbox, host) == (502, b"")
    assert sandbox.walls.untouched()
    await sandbox.recorded()


async def test_an_alias_does_not_lead_to_a_refused_address(sandbox: Sandbox) -> None:
    assert await both_ways(sandbox, "alias.test") == (502, b"")
    assert sandbox.walls.untouched()
    await sandbox.recorded()


async def test_a_refused_address_among_others_is_passed_over(sandbox: Sandbox) -> None:
    walls = sandbox.walls
    host = f"{sandbox.name}.wild.test"
    walls.zone.names[host] = ["127.0.0.2", "127.0.0.1"]
    assert (await sandbox.door.get(f"http://{host}:{walls.ok.port}/")).status == 200
    assert walls.untouched()


async def test_a_name_that_changes_its_mind_is_held_to_the_first(sandbox: Sandbox) -> None:
    """Rebinding with a time to live of zero: allowed while it is looked at, private when it is used."""
    walls, turn = sandbox.walls, 0

    def answer() -> list[str]:
        nonlocal turn
        turn += 1
        return ["127.0.0.1"] if turn == 1 else ["127.0.0.2"]

    host = f"{sandbox.name}.wild.test"
    walls.zone.names[host] = answer
    for _ in range(6):
        await both_ways(sandbox, host)
        await sandbox.door.get(f"http://{host}:{walls.ok.port}/")
        await asyncio.sleep(0.4)
    assert walls.untouched()
    await sandbox.recorded()


async def test_nothing_leaks_in_the_names_that_are_asked(sandbox: Sandbox) -> None:
    """A DNS tunnel's words are names: what is refused is never looked up."""
    before = len(sandbox.walls.zone.queries)
    for number in range(5):
        await sandbox.door.get(f"http://secret-{number}.evil.test/")
        (await sandbox.door.connect(f"secret-{number}.evil.test:443")).close()
    assert len(sandbox.walls.zone.queries) == before
    await sandbox.recorded()
