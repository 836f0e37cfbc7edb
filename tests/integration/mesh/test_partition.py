"""Stores that cannot be reached: what is decided meanwhile, what is recorded, and how soon all is as before."""

from collections.abc import Callable

import pytest
from stockade.networkpolicy.v1 import decision_service_pb2 as pb

from support.gate import needs_envoy
from support.mesh import AWAY_SHARE, Mesh, wait_for
from support.mesh_load import Load, decide, load
from support.mesh_outages import PAUSE_S, host_is_parted, limited, wait_for_ready

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]
SECONDS = [5, pytest.param(20, marks=pytest.mark.long)]
RECOVERY_S = 2.0
BUSY = 2
"""A machine that runs other tests may take so many times as long; `make bench AREA=mesh` measures on a quiet one."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", SECONDS)
def test_a_host_without_its_stores(seconds: int, mesh: Mesh) -> None:
    with limited(mesh):
        partition = host_is_parted(mesh, seconds)
    assert 0 < partition.alone <= AWAY_SHARE * partition.ideal + 1, "no more than the stated share"
    assert partition.together <= partition.ideal + 1, "the others count as one"
    assert partition.recovery_s <= RECOVERY_S * BUSY
    assert [made.failed() for made in partition.loads] == [[], []]
    nothing_is_lost(mesh, *partition.loads)


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
    wait_for_ready(mesh, *mesh.nodes)


def nothing_is_lost(mesh: Mesh, *loads: Load) -> None:
    """Every decision that was given is in the copy of the record."""
    results = [call.result for made in loads for call in made.calls if not call.failed]
    given = {result.decision_id if isinstance(result, pb.Decision) else str(result) for result in results}
    wait_for(lambda: not mesh.stores.missing(given), 30, "every entry is copied")
