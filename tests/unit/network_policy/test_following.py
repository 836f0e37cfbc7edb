"""What is held of a store that others change, and what is known of it while the store is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from stockade_network_policy import follower as following
from stockade_network_policy.adapters.policies_memory import MemoryPolicies
from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.domain.errors import PoliciesUnavailable
from stockade_network_policy.domain.policy import Limits, Policy
from stockade_network_policy.follower import Bell, Follower

LIMITS = Limits(requests_per_minute=1, requests_per_hour=1, burst_size=1)
DEFAULT = Policy(agent_type="default", allowed_domains=("a.com",), limits=LIMITS)


@asynccontextmanager
async def running(follower: Follower) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def becomes(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError


async def test_a_store_that_was_emptied_leaves_in_force_what_was() -> None:
    store = MemoryPolicies()
    store.seed([DEFAULT], now_ns=1)
    catalogue = Catalogue(store, {})
    await catalogue.refresh()
    catalogue.store = MemoryPolicies()
    with pytest.raises(PoliciesUnavailable, match="restore it from a backup"):
        await catalogue.refresh()
    assert catalogue.rules("any").policy.allowed_domains == ("a.com",)


async def test_whoever_waits_is_woken_by_the_bell_long_before_its_time() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait(60)) for _ in range(2)]
    await asyncio.sleep(0)
    bell.ring()
    await asyncio.wait_for(asyncio.gather(*waiting), 20)


async def test_a_store_that_fails_makes_what_is_held_old_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(following, "AWAY_SECONDS", 0.05)
    away, asked = True, 0

    async def refresh() -> None:
        nonlocal asked
        asked += 1
        if away:
            raise PoliciesUnavailable("away")

    follower = Follower("policies", refresh, Bell())
    async with running(follower):
        await becomes(lambda: follower.degraded)
        assert asked > 1, "it is asked again and again"
        away = False
        await becomes(lambda: not follower.degraded)
