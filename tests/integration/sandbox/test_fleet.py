"""Nodes that share a registry: two services on one engine over a real Redis, each killed and cut off in turn."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stockade.sandbox.v1 import exec_service_pb2, node_service_pb2, sandbox_pb2, sandbox_service_pb2
from stockade_agent import AsyncSandbox, AsyncStockade
from stockade_sandbox.handlers.room import CREATE, FULL

from support.engine import EngineInUse
from support.fleet import ServedFleet, served_fleet
from support.journals import leaves
from support.node_router import node_router
from support.sandbox_service import Caller, ServedSandboxes, eventually, refused, served_sandboxes

pytestmark = pytest.mark.docker

LOST_SECONDS = 10.0
BUSY = 2
"""A machine that runs other tests may take so many times as long."""


@pytest.fixture(scope="module")
def fleet(engine: EngineInUse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFleet]:
    """Two nodes, "a" and "b", that let an owner have three sandboxes and take four each."""
    directory = tmp_path_factory.mktemp("r")
    limits = {"sandboxes_per_owner": 3, "sandboxes_per_node": 4}
    with served_fleet(engine, directory, ("a", "b"), **limits) as served:
        yield served


@pytest.fixture
def a(fleet: ServedFleet) -> Iterator[ServedSandboxes]:
    """The first node, left as it was found: without sandboxes."""
    yield fleet.nodes[0]
    clear(fleet.nodes[0])


@pytest.fixture
def b(fleet: ServedFleet) -> Iterator[ServedSandboxes]:
    """The second one."""
    yield fleet.nodes[1]
    clear(fleet.nodes[1])


def clear(node: ServedSandboxes) -> None:
    caller = node.operator()
    wanted = {"node": str(node.settings["node"])}
    for sandbox in listed(caller, **wanted):
        caller.delete(sandbox.name)


def listed(caller: Caller, size: int = 0, token: str = "", **wanted: Any) -> list[sandbox_pb2.Sandbox]:
    request = sandbox_service_pb2.ListSandboxesRequest(filter=wanted, page_size=size, page_token=token)
    return list(caller.sandboxes.ListSandboxes(request).sandboxes)


def test_any_node_tells_of_all_sandboxes(a: ServedSandboxes, b: ServedSandboxes) -> None:
    there, here = a.operator(), b.operator()
    made = [there.create(), here.create(), there.create(agent="agent-2")]
    assert [sandbox.node for sandbox in made] == ["a", "b", "a"]
    names = [sandbox.name for sandbox in made[::-1]]
    for caller in (there, here):
        assert [sandbox.name for sandbox in listed(caller)] == names
        assert [sandbox.node for sandbox in listed(caller)] == ["a", "b", "a"]
    assert [sandbox.name for sandbox in listed(here, agent="agent-2")] == [made[2].name]
    assert [sandbox.name for sandbox in listed(here, node="a")] == [made[2].name, made[0].name]
    told = here.get(made[0].name)
    assert (told.node, told.state, told.agent) == ("a", sandbox_pb2.SANDBOX_STATE_RUNNING, "agent-1")
    agent = b.agent("agent-1", made[1].name)  # of its agent's sandboxes, on any node, and of no other's
    assert {sandbox.name for sandbox in listed(agent)} == {made[0].name, made[1].name}
    assert refused(lambda: agent.get(made[2].name))["reason"] == "SANDBOX_NOT_FOUND"


def test_pages_go_on_across_nodes_while_sandboxes_come_and_go(a: ServedSandboxes, b: ServedSandboxes) -> None:
    callers = [a.operator(), b.operator()]
    made = [callers[turn % 2].create() for turn in range(3)]
    request = sandbox_service_pb2.ListSandboxesRequest(page_size=2)
    first = callers[0].sandboxes.ListSandboxes(request)
    assert [sandbox.name for sandbox in first.sandboxes] == [made[2].name, made[1].name]
    callers[0].delete(made[2].name)
    callers[1].create()
    request.page_token = first.next_page_token
    second = callers[1].sandboxes.ListSandboxes(request)  # a token holds on every node
    assert [sandbox.name for sandbox in second.sandboxes] == [made[0].name]
    assert second.next_page_token == ""


ELSEWHERE: dict[str, Callable[[Caller, str], Any]] = {
    "run": lambda caller, name: caller.run(name, "true"),
    "delete": lambda caller, name: caller.delete(name),
    "pause": lambda caller, name: caller.sandboxes.PauseSandbox(sandbox_service_pb2.PauseSandboxRequest(name=name)),
    "logs": lambda caller, name: list(
        caller.sandboxes.GetSandboxLogs(sandbox_service_pb2.GetSandboxLogsRequest(name=name))
    ),
    "execs": lambda caller, name: caller.execs.ListExecs(exec_service_pb2.ListExecsRequest(sandbox=name)),
}


def test_a_call_for_a_sandbox_elsewhere_is_told_where(a: ServedSandboxes, b: ServedSandboxes) -> None:
    there, here = a.operator(), b.operator()
    name = there.create().name
    for what, call in ELSEWHERE.items():
        found = refused(lambda call=call: call(here, name))
        assert (found["code"], found["reason"]) == ("UNAVAILABLE", "SANDBOX_ON_OTHER_NODE"), what
        assert found["metadata"] == {"sandbox": name, "node": "a"}
    there.delete(name)
    assert here.delete(name).state == sandbox_pb2.SANDBOX_STATE_ENDED  # ended everywhere, and no error anywhere
    found = refused(lambda: here.run(name, "true"))
    assert found["reason"] == "SANDBOX_NOT_RUNNING"


def test_a_quota_is_the_whole_fleets_and_a_full_node_is_not(a: ServedSandboxes, b: ServedSandboxes) -> None:
    there, here = a.operator(), b.operator()
    made = [there.create(), here.create(), there.create()]
    for caller in (there, here):
        found = refused(caller.create)
        assert (found["code"], found["reason"]) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
    there.delete(made[0].name)
    assert here.create().node == "b"
    bob = a.operator("bob")
    assert [told_full(bob) for _ in range(3)] == [False, False, True]
    assert not takes_more(a.operator())
    found = refused(a.service().create)
    assert (found["code"], found["reason"]) == ("UNAVAILABLE", "NODE_FULL")
    assert b.service().create().node == "b"
    assert takes_more(b.operator())


def told_full(caller: Caller) -> bool:
    """Create a sandbox: whether its answer says that it took the node's last place."""
    mode = sandbox_pb2.NETWORK_MODE_ISOLATED
    wanted = sandbox_service_pb2.CreateSandboxRequest(agent="agent-1", agent_type="nobody", network_mode=mode)
    _, call = caller.sandboxes.CreateSandbox.with_call(wanted)
    return set(FULL) <= set(call.initial_metadata())


def takes_more(caller: Caller) -> bool:
    """Whether the health of a node says that it has room for another sandbox."""
    answer = health_pb2_grpc.HealthStub(caller.channel).Check(health_pb2.HealthCheckRequest(service=CREATE))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_one_request_makes_one_sandbox_on_whichever_node_it_arrives(a: ServedSandboxes, b: ServedSandboxes) -> None:
    made = a.operator().create(request_id="once")
    again = b.operator().create(request_id="once")
    assert (again.name, again.node) == (made.name, "a")
    assert refused(lambda: b.operator().create(request_id="once", agent="x"))["reason"] == "REQUEST_ID_REUSED"
    assert b.operator("bob").create(request_id="once").node == "b"
    assert len(listed(b.operator())) == 2


def test_a_refused_create_leaves_nothing_and_its_request_may_go_elsewhere(
    a: ServedSandboxes, b: ServedSandboxes, fleet: ServedFleet
) -> None:
    there = a.operator()
    cordon(there, "a")
    assert not takes_more(there)
    assert refused(lambda: there.create(request_id="moves"))["reason"] == "NODE_FULL"
    made = b.operator().create(request_id="moves")
    assert made.node == "b"
    uncordon(there, "a")
    assert takes_more(there)
    assert not a.containers()


def cordon(caller: Caller, name: str) -> node_service_pb2.Node:
    return caller.nodes.CordonNode(node_service_pb2.CordonNodeRequest(name=name)).node


def uncordon(caller: Caller, name: str) -> node_service_pb2.Node:
    return caller.nodes.UncordonNode(node_service_pb2.UncordonNodeRequest(name=name)).node


def nodes(caller: Caller) -> dict[str, node_service_pb2.Node]:
    return {node.name: node for node in caller.nodes.ListNodes(node_service_pb2.ListNodesRequest()).nodes}


def test_any_node_cordons_and_drains_any_other(a: ServedSandboxes, b: ServedSandboxes) -> None:
    there, here = a.operator(), b.operator()
    name = there.create().name
    assert cordon(here, "a").state == node_service_pb2.NODE_STATE_CORDONED
    assert refused(there.create)["reason"] == "NODE_FULL"
    assert uncordon(here, "a").state == node_service_pb2.NODE_STATE_READY
    began = time.monotonic()
    drained = here.nodes.DrainNode(node_service_pb2.DrainNodeRequest(name="a"))
    assert time.monotonic() - began < 5
    assert list(drained.ended_sandboxes) == [name]
    assert (drained.node.sandboxes, drained.node.cordoned) == (0, True)
    assert here.get(name).state_reason == sandbox_pb2.STATE_REASON_NODE_DRAINED
    found = nodes(here)
    assert [(node.name, node.state) for node in found.values()] == [
        ("a", node_service_pb2.NODE_STATE_CORDONED),
        ("b", node_service_pb2.NODE_STATE_READY),
    ]
    assert found["a"].engine.startswith("docker ")
    assert found["a"].capacity == found["b"].capacity
    uncordon(here, "a")
    assert refused(lambda: cordon(here, "c"))["reason"] == "NODE_NOT_FOUND"


def test_placements_say_where_each_sandbox_is(a: ServedSandboxes, fleet: ServedFleet) -> None:
    there = a.operator()
    sandbox = there.create()
    with redis.Redis(unix_socket_path=str(fleet.redis.socket), decode_responses=True) as client:
        key = f"stockade:placement:{sandbox.name}"
        placed = client.hgetall(key)
        assert placed | {"expires_at": ""} == {
            "node": "a", "agent": "agent-1", "agent_type": "nobody", "owner": "operator/ada", "expires_at": ""
        }  # fmt: skip
        assert int(placed["expires_at"]) == sandbox.expire_time.seconds
        assert 0 < client.ttl("stockade:node:a") <= 6
        there.delete(sandbox.name)
        assert not client.exists(key)


def test_a_second_node_of_one_name_is_refused_at_start(engine: EngineInUse, fleet: ServedFleet) -> None:
    said = r"a node named 'a' is alive on host .* STOCKADE_SANDBOX_NODE"
    with pytest.raises(AssertionError, match=said), served_sandboxes(engine, node="a", registry_url=fleet.redis.url):
        pass


def test_sdk_and_command_go_to_the_node_that_a_sandbox_is_on(
    a: ServedSandboxes, b: ServedSandboxes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run_dir = tmp_path_factory.mktemp("m")
    person = run_dir / "operators/ada"
    person.mkdir(parents=True)
    sockets = {"b": b.run_dir / "operators/ada/sandbox.sock", "a": a.run_dir / "operators/ada/sandbox.sock"}
    name = a.operator().create().name
    with node_router(person / "sandbox.sock", sockets) as led:
        asyncio.run(use(f"unix:{person / 'sandbox.sock'}", name))
        assert led[:2] == [("Exec", ""), ("Exec", "a")]  # once to be told, from then on straight
        assert {node for _, node in led[1:]} == {"a"}
        led.clear()
        done = stockade_command(run_dir, "sandbox", "pause", name)
        assert done.stdout.split() == [name], done.stderr
        assert led == [("PauseSandbox", ""), ("PauseSandbox", "a")]
        done = stockade_command(run_dir, "node", "list")
        assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["a", "READY"], ["b", "READY"]]
        assert json.loads(stockade_command(run_dir, "node", "cordon", "a", "--json").stdout)["cordoned"] is True
        assert stockade_command(run_dir, "node", "drain", "a").stdout.split() == [name]
        assert stockade_command(run_dir, "node", "uncordon", "a").stdout == "a READY\n"


async def use(address: str, name: str) -> None:
    async with AsyncStockade.connect(address=address) as stockade:
        sandbox = AsyncSandbox.existing(stockade, name)
        assert (await sandbox.run("echo", "there")).stdout == b"there\n"
        await sandbox.files.write("/workspace/note", b"kept")
        assert await sandbox.files.read("/workspace/note") == b"kept"


def stockade_command(run_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stockade_cli", "--run-dir", str(run_dir), *words]
    environment = os.environ | {"STOCKADE_STACK_OPERATOR": "ada"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("frozen", [6.0, pytest.param(15.0, marks=pytest.mark.long)])
def test_a_frozen_registry_stops_creates_and_nothing_else_and_nobody_is_dead_for_it(
    frozen: float, a: ServedSandboxes, b: ServedSandboxes, fleet: ServedFleet
) -> None:
    there, here = a.operator(), b.operator()
    kept, deleted, elsewhere = there.create(), there.create(), here.create()
    with stopped(fleet.redis.process):
        thawed_at = time.monotonic() + frozen
        found = refused(lambda: a.operator("bob").create())
        assert (found["code"], found["reason"]) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
        assert found["metadata"] == {"dependency": "registry"}
        assert there.run(kept.name, "true").ending.exit_code == 0
        there.delete(deleted.name)
        assert there.get(kept.name).state == sandbox_pb2.SANDBOX_STATE_RUNNING
        assert refused(lambda: there.get(elsewhere.name))["reason"] == "DEPENDENCY_UNAVAILABLE"
        assert [sandbox.name for sandbox in listed(there, node="a")] == [kept.name]
        time.sleep(max(0.0, thawed_at - time.monotonic()))
    eventually(lambda: here.get(deleted.name).state == sandbox_pb2.SANDBOX_STATE_ENDED)  # it is told now
    eventually(lambda: _created(a.operator("bob")), seconds=2)
    until = time.monotonic() + 3  # who does not wait after such a pause would have judged by then
    while time.monotonic() < until:
        for caller in (there, here):
            for name in (kept.name, elsewhere.name):
                assert caller.get(name).state == sandbox_pb2.SANDBOX_STATE_RUNNING
        time.sleep(0.25)


def test_a_node_that_is_killed_while_the_registry_is_away_loses_nothing(
    a: ServedSandboxes, b: ServedSandboxes, fleet: ServedFleet
) -> None:
    kept = a.operator().create()
    with stopped(fleet.redis.process):
        a.kill()
        a.start()
        there = a.operator()
        eventually(lambda: runs(there, kept.name))
    eventually(lambda: _created(there), seconds=10)
    assert there.get(kept.name).state == sandbox_pb2.SANDBOX_STATE_RUNNING
    eventually(lambda: b.operator().get(kept.name).node == "a")


def runs(caller: Caller, name: str) -> bool:
    try:
        return bool(caller.run(name, "true").ending.exit_code == 0)
    except grpc.RpcError:
        return False


def test_a_registry_that_comes_back_empty_is_told_everything_again(
    a: ServedSandboxes, b: ServedSandboxes, fleet: ServedFleet
) -> None:
    there, here = a.operator(), b.operator()
    made = [there.create(), here.create(), there.create()]
    fleet.redis.empty()
    eventually(lambda: {s.name for s in _listed(here)} == {s.name for s in made})
    found = refused(lambda: eventually(lambda: _created(here)))
    assert found["reason"] == "QUOTA_EXCEEDED"  # none too many meanwhile
    assert {sandbox.name for sandbox in listed(there)} == {sandbox.name for sandbox in made}


@pytest.mark.long
def test_what_a_fail_over_of_the_registry_lost_is_told_again(
    a: ServedSandboxes, b: ServedSandboxes, fleet: ServedFleet
) -> None:
    there, here = a.operator(), b.operator()
    lost, kept = there.create(), there.create()
    with redis.Redis(unix_socket_path=str(fleet.redis.socket)) as client:
        client.hdel("stockade:{fleet}:sandboxes", lost.name)
        client.srem("stockade:{fleet}:node:a", lost.name)
        client.srem("stockade:{fleet}:owner:operator/ada", lost.name)
        client.delete(f"stockade:placement:{lost.name}")
        eventually(lambda: client.exists(f"stockade:placement:{lost.name}"), seconds=10)
    assert {sandbox.name for sandbox in listed(here)} == {lost.name, kept.name}


def test_a_dead_nodes_sandboxes_are_lost_and_removed_when_it_is_back(
    a: ServedSandboxes, b: ServedSandboxes, fleet: ServedFleet
) -> None:
    there, here = a.operator(), b.operator()
    lost, kept = [there.create(request_id="r-1"), there.create()], here.create()
    a.kill()
    eventually(lambda: _states(here, lost) == {sandbox_pb2.SANDBOX_STATE_LOST}, seconds=LOST_SECONDS * BUSY)
    told = here.get(lost[0].name)
    assert told.state_reason == sandbox_pb2.STATE_REASON_NODE_LOST
    assert nodes(here)["a"].state == node_service_pb2.NODE_STATE_LOST
    assert refused(lambda: here.run(lost[0].name, "true"))["reason"] == "SANDBOX_NOT_RUNNING"
    assert here.create(request_id="r-1").name == lost[0].name  # it was made, once
    freed = here.create()  # its owner's quota
    assert here.get(kept.name).state == sandbox_pb2.SANDBOX_STATE_RUNNING
    assert len(a.containers()) == 2  # as long as it is away
    a.start()
    there = a.operator()
    eventually(lambda: not a.containers() and _states(there, lost) == {sandbox_pb2.SANDBOX_STATE_LOST}, seconds=10)
    assert {sandbox.name for sandbox in listed(there)} == {kept.name, freed.name}
    for node, detail in ((b, "node a died, or was cut off"), (a, "given up while its node was cut off")):
        assert losses(node, detail) == {sandbox.name for sandbox in lost}
    assert eventually(lambda: nodes(there)["a"].state == node_service_pb2.NODE_STATE_READY)


def losses(node: ServedSandboxes, detail: str) -> set[str]:
    """The sandboxes of which a node's own record says that they were lost with their node, and so."""
    entries = leaves(node.state_dir / "audit/journals/sandbox-0")
    lost = [entry for entry in entries if (entry["action"], entry.get("reason")) == ("SANDBOX_LOST", "NODE_LOST")]
    return {entry["sandbox"] for entry in lost if detail in entry["metadata"]["detail"]}


@contextlib.contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _states(caller: Caller, sandboxes: list[sandbox_pb2.Sandbox]) -> set[int]:
    return {caller.get(sandbox.name).state for sandbox in sandboxes}


def _listed(caller: Caller) -> list[sandbox_pb2.Sandbox]:
    try:
        return listed(caller)
    except grpc.RpcError:
        return []


def _created(caller: Caller) -> sandbox_pb2.Sandbox | None:
    """A new sandbox; None while the registry cannot tell."""
    try:
        return caller.create()
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return None
