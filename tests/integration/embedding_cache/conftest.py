"""One served cache for a module's tests; each test speaks for an agent of its own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import memory
from support.cache import ServedCache, served_cache


@pytest.fixture(scope="module")
def served() -> Iterator[ServedCache]:
    # Not tmp_path: its names are too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="sc-", dir=memory.place()) as root, served_cache(Path(root)) as running:
        yield running


@pytest.fixture
def agent_name(request: pytest.FixtureRequest) -> str:
    """An agent id that no other test uses."""
    name: str = request.node.name
    return name.replace("_", "-").split("[")[0][5:60].strip("-")
