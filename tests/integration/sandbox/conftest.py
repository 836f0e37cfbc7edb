"""The sandbox service for its integration tests: one for a module, without a gate."""

from collections.abc import Iterator

import pytest

from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, served_sandboxes


@pytest.fixture(scope="module")
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service of the module's own."""
    with served_sandboxes(engine) as running:
        yield running


@pytest.fixture
def ada(served: ServedSandboxes) -> Caller:
    """An operator."""
    return served.operator()
