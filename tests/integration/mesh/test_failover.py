"""A host dies: others decide and create at once, its sandboxes are LOST, and nothing of them is left on its return."""

import subprocess
import time

import pytest
from stockade.sandbox.v1 import node_service_pb2, sandbox_pb2

from support.gate import needs_envoy
from support.mesh import Mesh, wait_for
from support.mesh_load import AGENT, create, decide, load

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]
FAILOVER_S, LOST_S = 2.0, 10.0
BUSY = 2
"""A machine that runs other tests may take so many times as long; `make bench AREA=mesh` measures on a quiet one."""
DYING_FOR_S = 6


@pytest.mark.timeout(300)
def test_a_host_dies_and_returns(mesh: Mesh) -> None:
    node = mesh.nodes["c"]
    with mesh.sandbox("mesh-doomed", node=node.name) as doomed:
        with load(mesh.target, [decide], 3) as decisions, load(mesh.target, [create], 1) as creations:
            decisions.wait(20, 30)
            creations.wait(2, 30)
            died = time.monotonic()
            node.die()
            try:
                wait_for(lambda: mesh.state(doomed) == sandbox_pb2.SANDBOX_STATE_LOST, LOST_S * BUSY, "LOST")
                time.sleep(max(0.0, died + DYING_FOR_S - time.monotonic()))
            finally:
                node.come_back()
        assert decisions.outage(decide, died) <= FAILOVER_S * BUSY
        assert creations.outage(create, died) <= FAILOVER_S * BUSY
        wait_for(lambda: _containers(doomed) == [], 20, "nothing is left of it")
        wait_for(lambda: mesh.node_state(node.name) == node_service_pb2.NODE_STATE_READY, 20, "the node is ready")
        assert mesh.state(doomed) == sandbox_pb2.SANDBOX_STATE_LOST
    mesh.delete(mesh.sandboxes(AGENT))
    with mesh.sandbox("mesh-next", node=node.name):
        pass


def _containers(name: str) -> list[str]:
    listing = ["docker", "ps", "-aq", "--filter", f"label=dev.stockade.sandbox={name}"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
