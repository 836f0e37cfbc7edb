"""What befalls a mesh, and what came of it: a host dies and returns, a host is parted from its stores."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import policy_pb2, policy_service_pb2, policy_service_pb2_grpc
from stockade.sandbox.v1 import node_service_pb2, sandbox_pb2

from support.mesh import Mesh, wait_for
from support.mesh_client import NODE, standard
from support.mesh_load import DEADLINE_S, Clients, Load, Work, create, decide, load

AGENT_TYPE, HOST = "mesh-parted", "allowed.mesh.test"
PER_MINUTE, BURST = 600, 20
PAUSE_S, CREATE_PAUSE_S = 0.02, 0.2
DEAD_S = 6.0
PATIENCE_S = 30.0
"""A good deal more than anything here may take: how long it took is for whoever asked to judge."""


@dataclass(frozen=True)
class Death:
    """Seconds after a host died: the longest that anyone waited for a decision, for a sandbox, and until LOST."""

    decision_s: float
    create_s: float
    lost_s: float


def host_dies(mesh: Mesh, name: str, doomed: str) -> Death:
    """A host dies under load and returns; `doomed` is a sandbox on it."""
    node = mesh.nodes[name]
    with load(mesh.target, [decide], 3) as decisions, load(mesh.target, [create], 1, CREATE_PAUSE_S) as creations:
        decisions.wait(20, PATIENCE_S)
        creations.wait(2, PATIENCE_S)
        died = time.monotonic()
        node.die()
        try:
            is_lost = sandbox_pb2.SANDBOX_STATE_LOST
            wait_for(lambda: mesh.state(doomed) == is_lost, PATIENCE_S, f"{doomed} is LOST")
            lost_s = time.monotonic() - died
            time.sleep(max(0.0, DEAD_S - lost_s))
        finally:
            returned = time.monotonic()
            node.come_back()
    wait_for_ready(mesh, name)
    return Death(decisions.outage(decide, died, returned), creations.outage(create, died, returned), lost_s)


@dataclass(frozen=True)
class Partition:
    """What was allowed while a host was parted: by it alone, by another; and what one bucket would have allowed."""

    alone: int
    together: int
    ideal: float
    recovery_s: float
    loads: tuple[Load, Load]

    @property
    def error_pct(self) -> float:
        """How far all together went beyond the limit, in percent of it."""
        return max(0.0, (self.alone + self.together - self.ideal) / self.ideal * 100)


def host_is_parted(mesh: Mesh, seconds: float) -> Partition:
    """Host a is parted from the stores, while an agent asks it and b for more than it may; needs `limited`."""
    node, agent = mesh.nodes["a"], f"mesh-parted-{time.monotonic_ns()}"
    with (
        load(mesh.target, [asking(agent, "a")], 2, PAUSE_S) as here,
        load(mesh.target, [asking(agent, "b")], 2, PAUSE_S) as there,
    ):
        time.sleep(1)
        with node.host.parted_from(mesh.stores.host):
            parted = time.monotonic()
            time.sleep(seconds)
            assert not node.has_stores(), "it has not noticed"
            healed = time.monotonic()
        recovery_s = wait_for(node.has_stores, PATIENCE_S, "the stores are there again")
    wait_for_ready(mesh, "a")
    ideal = BURST + PER_MINUTE / 60 * (healed - parted)
    alone, together = (_allowed(made, parted, healed) for made in (here, there))
    return Partition(alone, together, ideal, recovery_s, (here, there))


@contextmanager
def limited(mesh: Mesh) -> Iterator[None]:
    """A type of agents with one allowed host and a limit, in force on all nodes while the block runs."""
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
        decision: pb.Decision = answer.decision
        return decision

    return ask


def wait_for_ready(mesh: Mesh, *names: str) -> None:
    """Until the fleet has these nodes as ready."""
    ready = node_service_pb2.NODE_STATE_READY
    wait_for(lambda: all(mesh.node_state(name) == ready for name in names), PATIENCE_S, f"{names} are ready")


def _allowed(made: Load, since: float, until: float) -> int:
    """How many decisions of a time let their request pass."""
    during = (call.result for call in made.calls if since <= call.began and call.ended <= until)
    return sum(isinstance(result, pb.Decision) and result.verdict == pb.VERDICT_ALLOW for result in during)
