"""What every registry that nodes share does."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
import redis
from stockade_sandbox.adapters.fleet_memory import MemoryFleet
from stockade_sandbox.adapters.fleet_redis import RedisFleet
from stockade_sandbox.domain.errors import (
    FleetUnavailable,
    FleetUnsuitable,
    NodeNameTaken,
    NotMember,
    QuotaExceeded,
    RequestIdReused,
)
from stockade_sandbox.domain.node import Command, Node, NodeState, Order
from stockade_sandbox.domain.placement import given_up, lost, published
from stockade_sandbox.domain.ports import Claim, Fleet
from stockade_sandbox.domain.sandbox import Limits, NetworkMode, Reason, Sandbox, State, Tier, listing_key, over

from support.redis_server import RedisServer, redis_server

LIMITS = Limits(cpu=0.5, memory=1 << 30, disk=1 << 20, pids=16)
NODE = Node(
    name="node-1", incarnation="i-1", place="p-1", host="h-1", tiers=(Tier.RUNC,), capacity=LIMITS, heard_at=2e9
)
OTHER = replace(NODE, name="node-2", incarnation="i-2", place="p-2", host="h-2")
SANDBOX = published(
    Sandbox(
        name="sb-a",
        uid=1_900_000_000,
        state=State.STARTING,
        image="stockade/agent:latest",
        limits=LIMITS,
        tier=Tier.RUNC,
        cpus=(0, 1),
        agent="agent-1",
        agent_type="qe-test-generator",
        owner="operator/ada",
        network_mode=NetworkMode.WHITELISTED,
        allowed_domains=("x.com",),
        env={"A": "secret"},
        labels={"job": "7"},
        created_at=1_800_000_000.123456,
        expires_at=2_000_000_000.0,
    ),
    "node-1",
)
RUNNING = replace(SANDBOX, state=State.RUNNING, revision=1)


def claim(name: str = "sb-a", **fields: object) -> Claim:
    owner = str(fields.pop("owner", "operator/ada"))
    told = {"quota": 2, **fields}
    return Claim(sandbox=replace(SANDBOX, name=name, owner=owner), **told)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def fleet(request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    if request.param == "memory":
        yield MemoryFleet()
        return
    server = request.getfixturevalue("server")
    server.empty()
    found = RedisFleet(server.url)
    yield found
    await found.close()


async def joined(fleet: Fleet, *nodes: Node) -> None:
    for node in nodes or (NODE, OTHER):
        await fleet.join(node, returning=False)


async def test_nodes_say_how_they_are(fleet: Fleet) -> None:
    await joined(fleet)
    now = replace(NODE, state=NodeState.CORDONED, sandboxes=3)
    assert (await fleet.beat(now)).order is None
    assert await fleet.nodes() == [now, OTHER]
    assert await fleet.node("node-1") == now
    assert await fleet.node("node-9") is None


async def test_a_name_belongs_to_one_place_for_as_long_as_it_beats(fleet: Fleet) -> None:
    await joined(fleet, NODE)
    with pytest.raises(NodeNameTaken, match="h-1"):
        await fleet.join(replace(OTHER, name="node-1"), returning=False)
    again = replace(NODE, incarnation="i-9")  # restarted at its place
    await fleet.join(again, returning=False)
    await fleet.beat(again)
    with pytest.raises(NotMember):
        await fleet.beat(NODE)
    with pytest.raises(NodeNameTaken):  # the one that was replaced does not take the name back
        await fleet.join(NODE, returning=True)


async def test_a_name_is_free_once_its_node_has_left_in_order(fleet: Fleet) -> None:
    await joined(fleet, NODE)
    await fleet.leave(NODE, 60.0)
    await fleet.join(replace(NODE, incarnation="i-9", place="its machine was started again"), returning=False)


async def test_a_node_that_left_for_good_is_forgotten(fleet: Fleet) -> None:
    await joined(fleet)
    await fleet.leave(NODE, 0.0)
    assert await fleet.nodes() == [OTHER]
    await fleet.join(replace(OTHER, name="node-1"), returning=False)


async def test_an_order_is_heard_until_it_is_obeyed(fleet: Fleet) -> None:
    await joined(fleet)
    order = Order(id="o-1", command=Command.DRAIN, grace=3.0)
    await fleet.order("node-1", order)
    assert (await fleet.beat(OTHER)).order is None
    assert (await fleet.beat(NODE)).order == order
    assert (await fleet.beat(NODE)).order == order
    assert (await fleet.beat(replace(NODE, obeyed="o-1"))).order is None
    assert (await fleet.beat(NODE)).order is None


async def test_a_claim_is_known_to_all_and_comes_back_as_it_was(fleet: Fleet) -> None:
    await joined(fleet)
    assert await fleet.claim(NODE, claim()) is None
    assert await fleet.find(["sb-a", "sb-b"]) == {"sb-a": SANDBOX}
    assert await fleet.publish(NODE, [RUNNING]) == set()
    assert await fleet.find(["sb-a"]) == {"sb-a": RUNNING}
    assert await fleet.placed("node-1") == [RUNNING]
    assert [(await fleet.beat(node)).placed for node in (NODE, OTHER)] == [1, 0]
    assert await fleet.placed("node-2") == []


async def test_an_owners_quota_counts_on_all_nodes_and_is_freed_by_an_end(fleet: Fleet) -> None:
    await joined(fleet)
    await fleet.claim(NODE, claim("sb-a"))
    await fleet.claim(OTHER, claim("sb-b"))
    with pytest.raises(QuotaExceeded):
        await fleet.claim(NODE, claim("sb-c"))
    await fleet.claim(NODE, claim("sb-d", owner="operator/bob"))
    await fleet.publish(OTHER, [over(claim("sb-b").sandbox, Reason.DELETED, "", 9.0)])
    assert await fleet.claim(NODE, claim("sb-c")) is None
    assert set(await fleet.find(["sb-c"])) == {"sb-c"}


async def test_one_request_makes_one_sandbox_on_whichever_node(fleet: Fleet) -> None:
    await joined(fleet)
    assert await fleet.claim(NODE, claim("sb-a", request_id="r", digest="d")) is None
    made = await fleet.claim(OTHER, claim("sb-b", request_id="r", digest="d"))
    assert made == SANDBOX
    with pytest.raises(RequestIdReused):
        await fleet.claim(OTHER, claim("sb-b", request_id="r", digest="other"))
    assert await fleet.claim(OTHER, claim("sb-c", request_id="r", digest="d", owner="operator/bob")) is None
    assert await fleet.find(["sb-b"]) == {}


async def test_a_request_whose_sandbox_did_not_start_may_be_sent_again(fleet: Fleet) -> None:
    await joined(fleet)
    await fleet.claim(NODE, claim("sb-a", request_id="r", digest="d"))
    await fleet.publish(NODE, [over(SANDBOX, Reason.START_FAILED, "no room", 9.0)])
    assert await fleet.claim(OTHER, claim("sb-b", request_id="r", digest="d")) is None


async def test_a_request_is_taken_over_once_and_never_from_a_sandbox_that_runs(fleet: Fleet) -> None:
    await joined(fleet)
    await fleet.claim(NODE, claim("sb-a", request_id="r", digest="d"))
    again = claim("sb-b", request_id="r", digest="d", instead_of="sb-a", quota=1)
    assert await fleet.claim(OTHER, again) is None
    assert (await fleet.find(["sb-a"]))["sb-a"].reason is Reason.START_FAILED
    assert await fleet.publish(NODE, [RUNNING]) == {"sb-a"}  # it learns that it is over
    await fleet.publish(OTHER, [replace(again.sandbox, state=State.RUNNING)])
    third = await fleet.claim(NODE, claim("sb-c", request_id="r", digest="d", instead_of="sb-b"))
    assert third is not None
    assert third.name == "sb-b"


async def test_what_is_over_stays_over(fleet: Fleet) -> None:
    await joined(fleet)
    await fleet.claim(NODE, claim())
    ended = over(RUNNING, Reason.IDLE, "", 9.0)
    await fleet.publish(NODE, [ended])
    assert await fleet.publish(NODE, [RUNNING, over(RUNNING, Reason.KILLED, "", 10.0)]) == {"sb-a"}
    assert await fleet.find(["sb-a"]) == {"sb-a": ended}


async def test_pages_are_in_order_and_go_on_after_a_key(fleet: Fleet) -> None:
    await joined(fleet)
    made = [replace(RUNNING, name=f"sb-{n}", created_at=1.8e9 + n, agent=f"agent-{n % 2}") for n in range(5)]
    await fleet.publish(NODE, made[::-1])
    assert [sandbox.name for sandbox in await fleet.page("", "", 3)] == ["sb-4", "sb-3", "sb-2"]
    assert [sandbox.name for sandbox in await fleet.page("", listing_key(made[2]), 3)] == ["sb-1", "sb-0"]
    assert [sandbox.name for sandbox in await fleet.page("agent-0", listing_key(made[4]), 9)] == ["sb-2", "sb-0"]
    await fleet.publish(NODE, [over(made[3], Reason.DELETED, "", 50.0)])
    assert len(await fleet.page("", "", 9)) == 5
    await fleet.prune(51.0)
    assert [sandbox.name for sandbox in await fleet.page("agent-1", "", 9)] == ["sb-1"]
    assert await fleet.find(["sb-3"]) == {}


async def test_a_silent_node_is_told_of_and_declared_dead_once(fleet: Fleet, wait_out: Callable[[Fleet], None]) -> None:
    await joined(fleet)
    await fleet.claim(NODE, claim("sb-a"))
    await fleet.claim(NODE, claim("sb-b"))
    assert (await fleet.beat(OTHER)).silent == {}
    wait_out(fleet)
    silent = (await fleet.beat(OTHER)).silent
    assert set(silent) == {"node-1"}
    gone = [lost(sandbox, 9.0) for sandbox in await fleet.placed("node-1")]
    assert await fleet.lose("node-1", silent["node-1"], gone[:1]) == {gone[0].name}
    assert set((await fleet.beat(OTHER)).silent) == {"node-1"}  # not all of it yet
    assert await fleet.lose("node-1", silent["node-1"], gone) == {gone[1].name}
    assert (await fleet.beat(OTHER)).silent == {}
    lost_node = await fleet.node("node-1")
    assert lost_node is not None
    assert lost_node.state is NodeState.LOST
    assert await fleet.claim(OTHER, claim("sb-c", quota=1)) is None  # its owner's quota is free again
    with pytest.raises(NotMember):
        await fleet.publish(NODE, [RUNNING])


async def test_a_node_that_beats_again_is_not_dead(fleet: Fleet, wait_out: Callable[[Fleet], None]) -> None:
    await joined(fleet)
    await fleet.claim(NODE, claim("sb-a"))
    wait_out(fleet)
    silent = (await fleet.beat(OTHER)).silent
    await fleet.beat(NODE)
    assert await fleet.lose("node-1", silent["node-1"], [lost(SANDBOX, 9.0)]) == set()
    assert await fleet.find(["sb-a"]) == {"sb-a": SANDBOX}


async def test_who_stops_in_order_is_waited_for(fleet: Fleet, wait_out: Callable[[Fleet], None]) -> None:
    await joined(fleet)
    await fleet.leave(NODE, 60.0)
    wait_out(fleet)
    assert (await fleet.beat(OTHER)).silent == {}


async def test_a_registry_that_lost_everything_refuses_claims_until_all_have_told_it_again(fleet: Fleet) -> None:
    await fleet.join(NODE, returning=True)
    with pytest.raises(FleetUnavailable, match="told again"):
        await fleet.claim(NODE, claim())
    await fleet.publish(NODE, [RUNNING])


async def test_a_node_that_was_lost_long_ago_is_told_of_no_longer(
    fleet: Fleet, wait_out: Callable[[Fleet], None]
) -> None:
    await joined(fleet, replace(NODE, heard_at=1.0), OTHER)
    wait_out(fleet)
    await fleet.lose("node-1", (await fleet.beat(OTHER)).silent["node-1"], [])
    assert await fleet.nodes() == [OTHER]


@pytest.mark.parametrize("url", ["unix://{}", "unix://:wrong@{}"])
async def test_a_redis_that_does_not_let_a_node_in_says_so(url: str, server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.config_set("requirepass", "right")
    fleet = RedisFleet(url.format(server.socket))
    try:
        with pytest.raises(FleetUnsuitable, match="correct the name or password"):
            await fleet.join(NODE, returning=False)
    finally:
        await fleet.close()
        with redis.Redis(unix_socket_path=str(server.socket), password="right") as client:
            client.config_set("requirepass", "")


async def test_a_redis_that_evicts_is_not_used(server: RedisServer) -> None:
    fleet = RedisFleet(server.url)
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(FleetUnsuitable, match="set its maxmemory-policy to noeviction"):
                await fleet.join(NODE, returning=False)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            await fleet.close()


async def test_nobody_claims_who_has_not_joined(fleet: Fleet) -> None:
    with pytest.raises(NotMember):
        await fleet.claim(NODE, claim())


@pytest.fixture
def wait_out(request: pytest.FixtureRequest, fleet: Fleet) -> Callable[[Fleet], None]:
    """Lets the time of silence pass for all that have beaten so far."""
    return age_redis(request) if isinstance(fleet, RedisFleet) else age_memory


def age_memory(fleet: Fleet) -> None:
    assert isinstance(fleet, MemoryFleet)
    for name in fleet._beats:
        fleet._beats[name] -= 6.0


def age_redis(request: pytest.FixtureRequest) -> Callable[[Fleet], None]:
    server = request.getfixturevalue("server")

    def age(_fleet: Fleet) -> None:
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            for name in client.zrange("stockade:{fleet}:beats", 0, -1):
                client.zincrby("stockade:{fleet}:beats", -6000, name)

    return age


def test_giving_up_says_why() -> None:
    assert given_up(SANDBOX, 9.0).message == "another node took its request over"
