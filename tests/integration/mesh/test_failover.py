"""A host dies: others decide and create at once, its sandboxes are LOST, and nothing of them is left on its return."""

import subprocess

import pytest
from stockade.sandbox.v1 import sandbox_pb2

from support.gate import needs_envoy
from support.mesh import Mesh, wait_for
from support.mesh_load import AGENT
from support.mesh_outages import host_dies

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]
FAILOVER_S, LOST_S = 2.0, 10.0
BUSY = 2
"""A machine that runs other tests may take so many times as long; `make bench AREA=mesh` measures on a quiet one."""


@pytest.mark.timeout(300)
def test_a_host_dies_and_returns(mesh: Mesh) -> None:
    try:
        with mesh.sandbox("mesh-doomed", node="c") as doomed:
            death = host_dies(mesh, "c", doomed)
            assert death.decision_s <= FAILOVER_S * BUSY
            assert death.create_s <= FAILOVER_S * BUSY
            assert death.lost_s <= LOST_S * BUSY
            wait_for(lambda: _containers(doomed) == [], 20, "nothing is left of it")
            assert mesh.state(doomed) == sandbox_pb2.SANDBOX_STATE_LOST
    finally:
        mesh.delete(mesh.sandboxes(AGENT))
    with mesh.sandbox("mesh-next", node="c"):
        pass


def _containers(name: str) -> list[str]:
    listing = ["docker", "ps", "-aq", "--filter", f"label=dev.stockade.sandbox={name}"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
