"""Killing and freezing a part under load: no byte that policy does not allow, and requests pass again within 2 s."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.gate import needs_envoy
from support.outages import OUTAGES, Load, Outage, load

pytestmark = [pytest.mark.gate, needs_envoy, pytest.mark.asyncio(loop_scope="module")]

RECOVERY_S, STARTS_S = 2.0, 8.0
"""The target, to which the benchmark holds it, and what programs may take to start on a machine that others use."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Load]:
    async with load() as under:
        yield under


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
async def test_nothing_passes_that_may_not_and_soon_all_that_may(running: Load, outage: Outage) -> None:
    assert await outage.befall(running) < RECOVERY_S + STARTS_S
    assert running.evil.untouched()
    assert running.statuses(allowed=False) <= {403, 503, 0}
