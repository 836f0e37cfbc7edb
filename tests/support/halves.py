"""The suite in two halves that run side by side, since each waits for half of its time.

What needs the machine (the engine, the gate, whole stacks, hosts of a mesh, loop devices) is one half and keeps its
order in one process; all other files are handed out one by one to whichever process is free.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_MACHINE = (
    "tests/conformance/",
    "tests/contract/sandbox/test_disks.py",  # a loop device that it lets go of is the next stack's
    "tests/e2e/",
    "tests/integration/cli/",
    "tests/integration/clients/",
    "tests/integration/deploy/",
    "tests/integration/mesh/",
    "tests/integration/sandbox/",
    "tests/integration/telemetry/",
    "tests/security/",
)


class Halves(LoadScopeScheduling):  # type: ignore[misc]
    """See pytest-xdist: what has one scope is run by one process, the largest scope first."""

    def _split_scope(self, nodeid: str) -> str:
        return "machine" if nodeid.startswith(_MACHINE) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Asked by pytest-xdist with `-n 2`."""
    return Halves(config, log)
