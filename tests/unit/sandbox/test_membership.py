"""A node as one of the fleet: what it does while the registry is away, and with requests that others have begun."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from unittest.mock import AsyncMock

import pytest
from stockade_sandbox import membership as module
from stockade_sandbox.adapters.fleet_memory import MemoryFleet
from stockade_sandbox.adapters.fleet_redis import RedisFleet
from stockade_sandbox.domain.errors import FleetUnavailable, QuotaExceeded
from stockade_sandbox.domain.node import Node
from stockade_sandbox.domain.ports import Claim
from stockade_sandbox.domain.sandbox import Limits, Reason, Sandbox, State, Tier, over
from stockade_sandbox.membership import Membership

SANDBOX = Sandbox(
    name="sb-a",
    uid=1,
    state=State.STARTING,
    image="i",
    limits=Limits(cpu=0.5, memory=1 << 30, disk=1 << 20, pids=16),
    tier=Tier.RUNC,
    cpus=(0,),
    agent="agent-1",
    owner="operator/ada",
    created_at=1.8e9,
    expires_at=4e9,
)


def node(name: str) -> Node:
    return Node(name=name, incarnation=f"i-{name}", place=f"p-{name}", host="h")


def claim(name: str) -> Claim:
    return Claim(sandbox=replace(SANDBOX, name=name), quota=2, request_id="r", digest="d")


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> MemoryFleet:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)
    return MemoryFleet()


async def member(fleet: MemoryFleet, name: str) -> Membership:
    found = Membership(fleet, node(name), alone=False)
    await found.join([])
    return found


async def beating(of: Membership, turns: int, last: Callable[[], object]) -> None:
    for turn in range(turns):
        await asyncio.sleep(0.05)
        await of.beat(replace(of.node, heard_at=float(turn + 1)), [])
    await last()  # type: ignore[misc]


async def test_who_made_a_claim_hears_where_it_holds(fleet: MemoryFleet) -> None:
    placed = AsyncMock()
    here = Membership(fleet, node("a"), alone=False, placed=placed)
    await here.join([])
    assert await here.claim(claim("sb-a"), 0) is None
    placed.assert_awaited_once()
    await fleet.publish(here.node, [replace(SANDBOX, state=State.RUNNING)])
    assert await here.claim(claim("sb-b"), 0) is not None  # its request has made one
    placed.assert_awaited_once()


async def test_a_request_that_a_live_node_works_on_is_waited_for(fleet: MemoryFleet) -> None:
    a, b = await member(fleet, "a"), await member(fleet, "b")
    await a.claim(claim("sb-a"), 0)
    running = replace(SANDBOX, state=State.RUNNING, revision=1)
    made, _ = await asyncio.gather(b.claim(claim("sb-b"), 0), beating(a, 6, lambda: a.tell(running)))
    assert made is not None
    assert (made.name, made.node, made.state) == ("sb-a", "a", State.RUNNING)


async def test_a_request_is_taken_over_from_a_node_that_is_quiet(fleet: MemoryFleet) -> None:
    a, b = await member(fleet, "a"), await member(fleet, "b")
    await a.claim(claim("sb-a"), 0)
    assert await b.claim(claim("sb-b"), 0) is None
    await a.tell(replace(SANDBOX, state=State.RUNNING, revision=1))  # it was only slow
    assert a.given_up["sb-a"].reason is Reason.START_FAILED
    await b.tell(replace(SANDBOX, name="sb-b", state=State.RUNNING, revision=1))
    again = await a.claim(claim("sb-c"), 0)
    assert again is not None
    assert again.name == "sb-b"


@pytest.mark.parametrize("alone", [False, True])
async def test_claims_while_the_registry_is_away(alone: bool) -> None:
    away = Membership(RedisFleet("unix:///nobody/listens/here.sock"), node("a"), alone=alone)
    with pytest.raises(FleetUnavailable):
        await away.join([])
    if alone:
        assert await away.claim(claim("sb-a"), living=1) is None
        with pytest.raises(QuotaExceeded):
            await away.claim(claim("sb-b"), living=2)
    else:
        with pytest.raises(FleetUnavailable):
            await away.claim(claim("sb-a"), living=0)


async def test_what_happened_while_it_was_apart_is_told_on_joining_again(fleet: MemoryFleet) -> None:
    a, b = await member(fleet, "a"), await member(fleet, "b")
    await a.claim(claim("sb-a"), 0)
    running = replace(SANDBOX, state=State.RUNNING, node="a")
    alone = replace(running, name="sb-alone", created_at=1.9e9)
    apart = Membership(fleet, replace(node("a"), incarnation="i-2"), alone=True)  # restarted, and not joined yet
    ended = over(running, Reason.DELETED, "", 1.8e9 + 5)
    await apart.tell(ended)
    assert (await fleet.find(["sb-a"]))["sb-a"].state is State.STARTING
    await apart.join([ended, alone])
    assert {s.name: s.state for s in await fleet.page("", "", 9)} == {"sb-alone": State.RUNNING, "sb-a": State.ENDED}
    assert b.joined


async def test_what_a_node_does_not_have_any_more_is_over(fleet: MemoryFleet) -> None:
    a = await member(fleet, "a")
    await a.claim(claim("sb-a"), 0)
    await a.tell(replace(SANDBOX, state=State.RUNNING))
    emptied = Membership(fleet, replace(node("a"), incarnation="i-2"), alone=False)
    await emptied.join([])
    assert (await fleet.find(["sb-a"]))["sb-a"].reason is Reason.NODE_LOST
