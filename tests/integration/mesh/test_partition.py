"""Stores that cannot be reached: what is decided meanwhile, what is recorded, and how soon all is as before."""

import time
from collections.abc import Callable, Iterator

import pytest
from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import policy_pb2, policy_service_pb2, policy_service_pb2_grpc
from stockade.sandbox.v1 import node_service_pb2

from support.gate import needs_envoy
from support.mesh import AWAY_SHARE, Mesh, wait_for
from support.mesh_client import NODE, standard
from support.mesh_load import DEADLINE_S, Clients, Load, Work, decide, load

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]
SECONDS = [5, pytest.param(20, marks=pytest.mark.long)]
RECOVERY_S = 2.0
BUSY = 2
"""A machine that runs other tests may take so many times as long; `make bench AREA=mesh` measures on a quiet one."""
AGENT_TYPE, HOST = "mesh-parted", "allowed.mesh.test"
PER_MINUTE, BURST = 600, 20
PAUSE_S = 0.02


@pytest.fixture(scope="module")
def limited(mesh: Mesh) -> Iterator[None]:
    """A type of agents with one allowed host and a limit that the load goes beyond, in force on all nodes."""
    limits = policy_pb2.Limits(requests_per_minute=PER_MINUTE, requests_per_hour=100_000, burst_size=BURST)
    policy = policy_pb2.Policy(agent_type=AGENT_TYPE, allowed_domains=[HOST], limits=limits)
    with standard(mesh.target) as channel:
        policies = policy_service_pb2_grpc.PolicyServiceStub(channel)
        policies.CreatePolicy(policy_service_pb2.CreatePolicyRequest(policy=policy))
        time.sleep(1.5)  # a change is in force on every replica within a second
        yield
        policies.DeletePolicy(policy_service_pb2.DeletePolicyRequest(agent_type=AGENT_TYPE))


def asking(agent: str, node: str) -> Work:
    """A request that policy allows and the limit may not, decided by one node."""
    asked = pb.RequestToCheck(agent=agent, agent_type=AGENT_TYPE, host=HOST, port=443)
    request = pb.CheckRequestRequest(request=asked)

    def ask(clients: Clients, _word: str) -> pb.Decision:
        answer = clients.decisions.CheckRequest(request, metadata=((NODE, node),), timeout=DEADLINE_S)
        return answer.decision

    return ask


def allowed(made: Load, since: float, until: float) -> int:
    """How many decisions of a time let their request pass."""
    during = (call.result for call in made.calls if since <= call.began and call.ended <= until)
    return sum(isinstance(result, pb.Decision) and result.verdict == pb.VERDICT_ALLOW for result in during)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", SECONDS)
def test_a_host_without_its_stores(seconds: int, mesh: Mesh, limited: None) -> None:
    node, agent = mesh.nodes["a"], f"mesh-parted-{seconds}"
    with (
        load(mesh.target, [asking(agent, "a")], 2, PAUSE_S) as here,
        load(mesh.target, [asking(agent, "b")], 2, PAUSE_S) as there,
    ):
        time.sleep(1)
        with node.host.parted_from(mesh.stores.host):
            parted = time.monotonic()
            time.sleep(seconds)
            assert not node.has_stores()
            healed = time.monotonic()
        wait_for(node.has_stores, RECOVERY_S * BUSY, "the stores are there again")

    ideal = BURST + PER_MINUTE / 60 * (healed - parted)
    alone, together = allowed(here, parted, healed), allowed(there, parted, healed)
    assert 0 < alone <= AWAY_SHARE * ideal + 1, "no more than the stated share"
    assert together <= ideal + 1, "the others count as one"
    assert here.failed() + there.failed() == []
    nothing_is_lost(mesh, here, there)
    wait_for(lambda: mesh.node_state("a") == node_service_pb2.NODE_STATE_READY, 20, "the node is ready")


def redis_fails_over(mesh: Mesh) -> None:
    mesh.stores.redis.stop()
    wait_for(lambda: not mesh.nodes["a"].has_stores(), 10, "it is missed")
    mesh.stores.redis.start()


def postgres_restarts(mesh: Mesh) -> None:
    mesh.stores.postgres.stop()
    wait_for(lambda: not mesh.nodes["a"].has_stores(), 10, "it is missed")
    mesh.stores.postgres.start()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("outage", [redis_fails_over, postgres_restarts])
def test_a_store_restarts(outage: Callable[[Mesh], None], mesh: Mesh) -> None:
    with load(mesh.target, [decide], 3, PAUSE_S) as made:
        made.wait(50, 30)
        outage(mesh)
        for node in mesh.nodes.values():
            wait_for(node.has_stores, RECOVERY_S * BUSY, f"the stores of {node.name} are there again")
        made.wait(len(made.calls) + 50, 30)
    assert made.failed() == []
    nothing_is_lost(mesh, made)
    for name in mesh.nodes:
        wait_for(lambda: mesh.node_state(name) == node_service_pb2.NODE_STATE_READY, 20, f"{name} is ready")  # noqa: B023


def nothing_is_lost(mesh: Mesh, *loads: Load) -> None:
    """Every decision that was given is in the copy of the record."""
    results = [call.result for made in loads for call in made.calls if not call.failed]
    given = {result.decision_id if isinstance(result, pb.Decision) else str(result) for result in results}
    wait_for(lambda: not mesh.stores.missing(given), 30, "every entry is copied")
