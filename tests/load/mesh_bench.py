"""A mesh of three hosts on this machine: how soon it fails over, what a sidecar costs, how often a create tries."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from statistics import mean, median

import grpc
from stockade.networkpolicy.v1 import decision_service_pb2, decision_service_pb2_grpc
from stockade.sandbox.v1 import sandbox_pb2, sandbox_service_pb2, sandbox_service_pb2_grpc

from load.harness import Figure, run
from load.simulation.loads import SMALL
from load.simulation.placing import HELD, place
from support.mesh import AWAY_SHARE, Mesh, running_mesh
from support.mesh_client import NODE, standard
from support.mesh_load import AGENT, AGENT_TYPE
from support.mesh_outages import host_dies, host_is_parted, limited

CALLS = 1_000
PARTED_S = 20.0
TRIES = "x-envoy-attempt-count"
SEEDS = range(20)
Made = Future[tuple[sandbox_pb2.Sandbox, int]]


async def measure() -> list[Figure]:
    """All of them, on a thread: they block."""
    return await asyncio.to_thread(figures)


def figures() -> list[Figure]:
    """All of them, on one mesh whose nodes take as many sandboxes as the small simulation's."""
    with running_mesh(STOCKADE_SANDBOX_SANDBOXES_PER_NODE=str(SMALL.sandboxes_per_node)) as mesh:
        return [overhead(mesh), *parted(mesh), *tries(mesh), *died(mesh)]


def overhead(mesh: Mesh) -> Figure:
    """One decision by two sidecars and mutual TLS, beside the same on the service's own socket; by turns."""
    asked = decision_service_pb2.RequestToCheck(agent=AGENT, agent_type=AGENT_TYPE, host="denied.mesh.test", port=443)
    request = decision_service_pb2.CheckRequestRequest(request=asked)
    own = f"unix:{mesh.nodes['a'].stack.run_dir}/services/policy.sock"
    with standard(mesh.target) as sidecars, grpc.insecure_channel(own) as direct:
        stubs = [decision_service_pb2_grpc.DecisionServiceStub(channel) for channel in (sidecars, direct)]
        pairs = [
            [seconds(partial(stub.CheckRequest, request, metadata=((NODE, "a"),))) for stub in stubs]
            for _ in range(CALLS)
        ]
    through, without = (median(each) * 1000 for each in zip(*pairs, strict=True))
    return Figure("sidecar_overhead_p50_ms", through - without, "ms", "stated", {"without sidecars, p50": without})


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def parted(mesh: Mesh) -> list[Figure]:
    """A host without its stores."""
    with limited(mesh):
        found = host_is_parted(mesh, PARTED_S)
    share = f"≤ {AWAY_SHARE:.0%} of the limit, the stated share of one parted node"
    ideal = {"one bucket's": found.ideal}
    return [
        Figure("partition_limit_error_pct", found.error_pct, "%", share),
        Figure("partition_allowed_alone", found.alone, "decisions", share, ideal),
        Figure("partition_recovery_s", found.recovery_s, "s", "≤ 2"),
    ]


def tries(mesh: Mesh) -> list[Figure]:
    """Nodes tried for a create at 95 % full: one ends, one is asked for, at random moments; beside the simulation's."""
    chosen = random.Random(1)
    with ThreadPoolExecutor(8) as threads, standard(mesh.target) as channel:
        stub = sandbox_service_pb2_grpc.SandboxServiceStub(channel)
        room = SMALL.nodes * SMALL.sandboxes_per_node
        slots = [threads.submit(create, stub) for _ in range(round(room * SMALL.full))]

        def instead_of(old: Made) -> tuple[sandbox_pb2.Sandbox, int]:
            mesh.delete([old.result()[0]])
            return create(stub)

        wait(slots)
        held = []
        for _ in range(SMALL.held_creates):
            time.sleep(chosen.expovariate(SMALL.creates_per_s))
            slot = chosen.randrange(len(slots))
            slots[slot] = threads.submit(instead_of, slots[slot])
            held.append(slots[slot])
        counts = sorted(made.result()[1] for made in held)
    mesh.delete(mesh.sandboxes(AGENT))
    logging.getLogger("stockade_sandbox").setLevel(logging.ERROR)  # what simulated nodes say of their fates
    simulated = [count for seed in SEEDS for count in place(SMALL, seed).tries[HELD]]
    p99 = counts[len(counts) * 99 // 100]
    return [
        Figure("create_tries_mean", mean(counts), "tries", "≤ 1.2", {"simulated": mean(simulated)}),
        Figure("create_tries_p99", p99, "tries", "≤ 1.2", {"simulated": sorted(simulated)[len(simulated) * 99 // 100]}),
    ]


def create(stub: sandbox_service_pb2_grpc.SandboxServiceStub) -> tuple[sandbox_pb2.Sandbox, int]:
    """A sandbox, and how many nodes were asked for it."""
    request = sandbox_service_pb2.CreateSandboxRequest(agent=AGENT, agent_type=AGENT_TYPE)
    answer, call = stub.CreateSandbox.with_call(request)
    return answer.sandbox, int(dict(call.initial_metadata())[TRIES])


def died(mesh: Mesh) -> list[Figure]:
    """A host dies."""
    with mesh.sandbox("mesh-doomed", node="c") as doomed:
        death = host_dies(mesh, "c", doomed)
    mesh.delete(mesh.sandboxes(AGENT))
    return [
        Figure("failover_s", max(death.create_s, death.decision_s), "s", "≤ 2"),
        Figure("failover_create_s", death.create_s, "s", "≤ 2"),
        Figure("failover_decision_s", death.decision_s, "s", "≤ 2"),
        Figure("lost_s", death.lost_s, "s", "≤ 10"),
    ]


if __name__ == "__main__":
    run(measure)
