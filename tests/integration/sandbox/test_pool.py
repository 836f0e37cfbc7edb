"""A claim is fast since it makes no call to the engine, and gives nobody what another has used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stockade.sandbox.v1 import node_service_pb2, sandbox_pb2, sandbox_service_pb2

from support.engine import AGENT_IMAGE, EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, mounts_below, refused, served_sandboxes

pytestmark = pytest.mark.docker


@pytest.fixture
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service that keeps two warm sandboxes of the default class."""
    with served_sandboxes(engine, warm="default:2") as running:
        eventually(lambda: warm(running.operator()) == 2, seconds=15)
        yield running


def warm(caller: Caller) -> int:
    """How many wait for a claim."""
    return int(caller.nodes.ListNodes(node_service_pb2.ListNodesRequest()).nodes[0].warm_sandboxes)


def test_a_claim_is_one_that_was_started_before(served: ServedSandboxes) -> None:
    ada = served.operator()
    waiting = served.containers()
    claimed = ada.create(agent="agent-7", labels={"job": "7"}, env={"JOB": "7"})
    assert claimed.name in waiting
    assert (claimed.agent, claimed.profile, dict(claimed.labels)) == ("agent-7", "default", {"job": "7"})
    assert claimed.state == sandbox_pb2.SANDBOX_STATE_RUNNING
    assert ada.run(claimed.name, "sh", "-c", "echo $JOB").stdout == b"7\n"
    assert served.agent("agent-7", claimed.name).get(claimed.name) == ada.get(claimed.name)
    eventually(lambda: warm(ada) == 2)
    ada.delete(claimed.name)
    assert claimed.name not in served.containers()  # it never comes back


def test_what_no_member_fits_is_made_anew(served: ServedSandboxes) -> None:
    ada = served.operator()
    waiting = served.containers()
    assert ada.create(limits={"pids": 64}).name not in waiting
    assert ada.create(agent_type="test-writer").name not in waiting
    assert warm(ada) == 2


def test_a_member_is_nobodys_to_see(served: ServedSandboxes) -> None:
    ada = served.operator()
    name = served.containers().pop()
    assert not ada.sandboxes.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest()).sandboxes
    assert refused(lambda: ada.get(name))["reason"] == "SANDBOX_NOT_FOUND"
    assert refused(lambda: ada.run(name, "true"))["reason"] == "SANDBOX_NOT_FOUND"
    assert refused(lambda: ada.delete(name))["reason"] == "SANDBOX_NOT_FOUND"


def test_dead_members_are_never_handed_out(served: ServedSandboxes) -> None:
    ada = served.operator()
    dead = served.containers()
    for name in dead:
        served.engine.docker("kill", name)
    claimed = ada.create()
    assert claimed.name not in dead
    assert ada.run(claimed.name, "true").ending.exit_code == 0
    eventually(lambda: not dead & served.containers())
    eventually(lambda: warm(ada) == 2, seconds=15)


def test_a_claim_gets_the_image_that_its_name_leads_to_now(engine: EngineInUse) -> None:
    image = f"stockade/moving-{os.getpid()}:latest"
    with _tagged(engine, image), served_sandboxes(engine, warm="default:1", default_image=image) as served:
        ada = served.operator()
        eventually(lambda: warm(ada) == 1, seconds=15)
        waiting = served.containers()
        moved_to = _another_image(engine, image)
        eventually(lambda: not waiting & served.containers())
        assert ada.create().image_digest == moved_to
        eventually(lambda: warm(ada) == 1, seconds=15)
        waiting = served.containers()
        claimed = ada.create()
        assert claimed.name in waiting
        assert claimed.image_digest == moved_to


@contextmanager
def _tagged(engine: EngineInUse, image: str) -> Iterator[None]:
    engine.docker("tag", AGENT_IMAGE, image)
    try:
        yield
    finally:
        engine.docker("rmi", "--force", image)


def _another_image(engine: EngineInUse, image: str) -> str:
    """Lets the name lead to a new image, which differs by a label; its digest."""
    container = engine.docker("create", "--network", "none", AGENT_IMAGE)
    try:
        return engine.docker("commit", "--change", "LABEL moved=yes", container, image)
    finally:
        engine.docker("rm", container)


def test_members_end_with_their_service(served: ServedSandboxes) -> None:
    ada = served.operator()
    kept = ada.create().name
    eventually(lambda: warm(ada) == 2, seconds=15)
    served.stop()
    assert served.containers() == {kept}
    served.start()
    eventually(lambda: warm(served.operator()) == 2, seconds=15)
    members = served.containers() - {kept}
    served.kill()
    served.start()
    eventually(lambda: not members & served.containers() and warm(served.operator()) == 2, seconds=15)
    assert kept in served.containers()
    assert len(mounts_below(served.root)) == 3 * 2  # a disk and a view of the supervisor each
