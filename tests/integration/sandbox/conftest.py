"""The sandbox service for its integration tests: one for a module, without a gate."""

from collections.abc import Iterator

import pytest

from support import tiers
from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, served_sandboxes


@pytest.fixture(scope="module", params=["RUNC", pytest.param("GVISOR", marks=pytest.mark.long)])
def served(request: pytest.FixtureRequest, engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service of the module's own, of one tier."""
    tiers.require(request.param, engine)
    with served_sandboxes(engine, tiers=request.param) as running:
        yield running


@pytest.fixture
def ada(served: ServedSandboxes) -> Caller:
    """An operator."""
    return served.operator()
