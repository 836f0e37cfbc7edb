"""Every service of every node restarted in turn, and every certificate renewed, while calls go on: none fails."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.gate import needs_envoy
from support.mesh import Mesh, Node, wait_for
from support.mesh_client import shown
from support.mesh_load import AGENT, DOMAIN, create, decide, load, look, put, read

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy]
COUNTS = [2_000, pytest.param(20_000, marks=pytest.mark.long)]
CREATES = 200
"""One call in so many makes a sandbox."""
PAUSE_S = 0.02
PROCESSES = ("policy", "cache", "sandbox", "audit", "gate")
WORKS = [create, *[decide, decide, look, put, read] * (CREATES // 5)][:CREATES]


def in_turn(mesh: Mesh, turn: int) -> None:
    """Restart one process of each node, all at once, and no two of one kind."""
    with ThreadPoolExecutor() as threads:
        chosen = (PROCESSES[(turn + number) % len(PROCESSES)] for number in range(len(mesh.nodes)))
        list(threads.map(Node.restart, mesh.nodes.values(), chosen))


def renew(mesh: Mesh) -> None:
    """Give every sidecar a new certificate, and wait until nodes show theirs."""
    mesh.client.rotate()
    renewed = {node.name: (node.sidecar.rotate() / "tls.crt").read_text() for node in mesh.nodes.values()}
    wait_for(lambda: {name: shown(mesh.way(name, "sidecar")) for name in renewed} == renewed, 10, "they are shown")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", COUNTS)
def test_restarts_and_renewals_fail_no_call(mesh: Mesh, count: int) -> None:
    try:
        with load(mesh.target, WORKS, pause=PAUSE_S) as made:
            for turn in range(len(PROCESSES)):
                in_turn(mesh, turn)
            renew(mesh)
            made.wait(max(count, len(made.calls) + 100), 600)

        assert made.failed() == []
        asked = sorted(f"{call.word}.{DOMAIN}" for call in made.of(decide))
        wait_for(lambda: len(mesh.stores.copied(f"{made.nonce}%")) >= len(asked), 20, "the record's copy")
        assert mesh.stores.copied(f"{made.nonce}%") == asked, "each was decided once"
        names = sorted(sandbox.name for sandbox in mesh.sandboxes(AGENT))
        assert names == sorted(str(call.result) for call in made.of(create)), "each was made once"
    finally:
        mesh.delete(mesh.sandboxes(AGENT))
