"""What the tests of this folder run against."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.policy_service import PolicyService, policy_service
from support.world import World, a_world


@pytest.fixture(scope="session")
def service() -> Iterator[PolicyService]:
    """One real process of the service; each test uses agents and types of its own."""
    with policy_service() as running:
        yield running


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A gate of the test's own."""
    async with a_world(tmp_path) as made:
        yield made
