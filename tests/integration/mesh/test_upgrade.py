"""Every node taken back to the previous commit and forward again, the tables with them, while calls go on.

Nothing that was acknowledged is lost, nobody waits for long, and sandboxes live through it.
"""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from stockade.sandbox.v1.node_service_pb2 import NODE_STATE_READY

from support.gate import needs_envoy
from support.mesh import MIGRATING, Mesh, wait_for
from support.mesh_load import AGENT, DOMAIN, Load, Work, create, decide, load, put, read
from support.release import TODAY, Release, release

pytestmark = [pytest.mark.docker, pytest.mark.gate, needs_envoy, pytest.mark.long]
PREVIOUS = "HEAD^"
GAP_S = 2.0
BUSY = 2
"""A machine that runs other tests may take so many times as long."""
CALLERS = 3
RESTS_S: dict[Work, float] = {decide: 0.05, create: 0.5, put: 0.05, read: 0.05}


@pytest.mark.timeout(900)
def test_back_and_forward_lose_nothing(mesh: Mesh) -> None:
    try:
        with release(PREVIOUS) as earlier, loads(mesh) as made:
            made[create].wait(3, 60)
            began = time.monotonic()
            back(mesh, earlier)
            forward(mesh)
            ended = time.monotonic()
        for work, calls in made.items():
            assert calls.failed() == [], work.__name__
            assert calls.gap(began, ended) <= GAP_S * BUSY, work.__name__
        names = sorted(sandbox.name for sandbox in mesh.sandboxes(AGENT))
        assert names == sorted(str(call.result) for call in made[create].calls), "each sandbox is there"
        held_in_the_record(mesh, made[decide])
    finally:
        if any(node.stack.program != TODAY.program for node in mesh.nodes.values()):
            forward(mesh)
        mesh.delete(mesh.sandboxes(AGENT))


@contextmanager
def loads(mesh: Mesh) -> Iterator[dict[Work, Load]]:
    """Calls of each kind, by callers of their own."""
    with ExitStack() as exits:
        yield {work: exits.enter_context(load(mesh.target, [work], CALLERS, rest)) for work, rest in RESTS_S.items()}


def back(mesh: Mesh, earlier: Release) -> None:
    """The replicas first, then their tables, by the newer program."""
    replaced(mesh, earlier)
    for program in MIGRATING:
        said = mesh.nodes["a"].migrate(program, "--status", by=earlier)
        mesh.nodes["a"].migrate(program, "--to", re.findall(r"newest is (\d+)", said)[0])


def forward(mesh: Mesh) -> None:
    """The tables first."""
    for program in MIGRATING:
        mesh.nodes["a"].migrate(program)
    replaced(mesh, TODAY)


def replaced(mesh: Mesh, by: Release) -> None:
    """One node after another."""
    for name, node in mesh.nodes.items():
        node.replace(by)
        wait_for(lambda name=name: mesh.node_state(name) == NODE_STATE_READY, 90, f"{name} is ready")


def held_in_the_record(mesh: Mesh, decisions: Load) -> None:
    """Each decision that was given is in the record, once, and every node's record verifies."""
    asked = sorted(f"{call.word}.{DOMAIN}" for call in decisions.calls)
    wait_for(lambda: len(mesh.stores.copied(f"{decisions.nonce}%")) >= len(asked), 30, "the record's copy")
    assert mesh.stores.copied(f"{decisions.nonce}%") == asked, "each was decided once"
    assert not mesh.stores.missing({str(call.result) for call in decisions.calls})
    for node in mesh.nodes.values():
        done = node.stack.stockade("audit", "verify")
        assert done.returncode == 0, done.stdout + done.stderr
