"""`stockade sandbox snapshot --memory | restore | fork`, and the same by the SDK, where the engine has gVisor."""

import json

import pytest
from stockade_agent import Stockade

from support import tiers
from support.engine import EngineInUse
from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


@pytest.fixture(autouse=True)
def gvisor(engine: EngineInUse) -> None:
    tiers.require("GVISOR", engine)


def test_forks_go_on_from_where_a_sandbox_is(stack: Stack) -> None:
    created = stack.stockade("sandbox", "create", "--tier", "gvisor", "--memory", "128m", "--disk", "32m")
    assert created.returncode == 0, created.stderr
    name = created.stdout.strip()
    stack.stockade("sandbox", "exec", name, "--", "sh", "-c", "echo kept > /tmp/memory")
    snapshot = stack.stockade("sandbox", "snapshot", "--memory", name)
    forks = stack.stockade("sandbox", "fork", "-n", "2", name)
    assert (snapshot.returncode, forks.returncode) == (0, 0), snapshot.stderr + forks.stderr
    restored = stack.stockade("sandbox", "restore", snapshot.stdout.strip()).stdout.strip()
    family = {*forks.stdout.split(), restored}
    assert len(family) == 3
    for member in family:
        assert stack.stockade("sandbox", "exec", member, "--", "cat", "/tmp/memory").stdout == "kept\n"
    shown = json.loads(stack.stockade("sandbox", "show", "--json", restored).stdout)
    assert shown["tier"] == "TIER_GVISOR"
    assert stack.stockade("sandbox", "stop", name, *family).returncode == 0
    assert stack.stockade("sandbox", "forget", snapshot.stdout.strip()).returncode == 0


def test_the_sdk_forks_too(stack: Stack) -> None:
    with Stockade.connect(stack.run_dir) as stockade:
        wanted = {"least_tier": "gvisor", "memory_bytes": 128 << 20, "disk_bytes": 32 << 20}
        with stockade.sandbox("forker", **wanted) as sandbox:
            sandbox.run("sh", "-c", "echo kept > /tmp/memory")
            (fork,) = sandbox.fork()
            assert fork.run("cat", "/tmp/memory").stdout == b"kept\n"
            fork.delete()
