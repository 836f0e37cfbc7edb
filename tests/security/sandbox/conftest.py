"""One service and one sandbox for the tests that only look at its walls."""

from collections.abc import Iterator

import pytest
from stockade.sandbox.v1 import sandbox_pb2

from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, served_sandboxes


@pytest.fixture(scope="module")
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service of the module's own."""
    with served_sandboxes(engine) as running:
        yield running


@pytest.fixture(scope="module")
def ada(served: ServedSandboxes) -> Caller:
    """An operator."""
    return served.operator()


@pytest.fixture(scope="module")
def sandbox(ada: Caller) -> sandbox_pb2.Sandbox:
    """A sandbox that nobody has touched."""
    return ada.create(limits={"cpu": 1, "memory_bytes": 256 << 20, "pids": 64})
