"""Computed once, whatever overtakes what."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from stockade_embedding_cache.adapters.leases import MemoryLeases
from stockade_embedding_cache.adapters.memory import MemoryStore
from stockade_embedding_cache.domain.cache import Cache
from stockade_embedding_cache.domain.computing import Computing
from stockade_embedding_cache.domain.entry import Lifetime, Quota
from stockade_embedding_cache.domain.layer import Caller
from stockade_embedding_cache.domain.vector import Dtype, Format, Rows

from support.cache import F32_4, TurnedClock, key, vector

AMPLE = Quota(1000, 1 << 20)
AGENT = Caller("agent", "a", "qe-x")
KEYS = [key(1), key(2)]


class Overtaken(MemoryLeases):
    """Leases before whose taking something else happens."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], Awaitable[object]]] = []

    async def acquire(self, layer: str, keys: Sequence[bytes], lease_id: str, ttl_s: float) -> list[bool]:
        if self.before:
            await self.before.pop()()
        return await super().acquire(layer, keys, lease_id, ttl_s)


@pytest.fixture
def computing() -> Computing:
    clock = TurnedClock()
    store = MemoryStore(total=AMPLE, quota=AMPLE, clock=clock)
    return Computing(Cache(store, Lifetime(clock)), Overtaken())


def rows(*names: object) -> Rows:
    return Rows(F32_4, b"".join(map(vector, names)))


async def lease(computing: Computing, wait_s: float = 0.0, fmt: Format = F32_4):  # type: ignore[no-untyped-def]
    return await computing.lease(AGENT, "", KEYS, fmt, 30, wait_s)


async def test_what_is_stored_between_looking_and_taking_is_not_computed_again(computing: Computing) -> None:
    first = await lease(computing)
    assert first.granted == [True, True]

    async def complete() -> None:
        await computing.complete(AGENT, "", first.lease_id, KEYS, rows(1, 2), None)

    assert isinstance(computing.leases, Overtaken)
    computing.leases.before.append(complete)
    second = await lease(computing)
    assert second.granted == [False, False]
    assert [entry.data for entry in second.found.entries] == [vector(1), vector(2)]
    assert await computing.leases.acquire("agents/a", KEYS, "free", 1) == [True, True]


async def test_a_waiter_gets_what_the_holder_stores(computing: Computing) -> None:
    first = await lease(computing)
    waiting = asyncio.create_task(lease(computing, wait_s=5))
    await asyncio.sleep(0.02)
    await computing.complete(AGENT, "", first.lease_id, KEYS, rows(1, 2), None)
    second = await asyncio.wait_for(waiting, 1)
    assert (second.granted, second.lease_id) == ([False, False], "")
    assert all(second.found.entries)


async def test_what_is_given_back_or_refused_goes_to_a_waiter(computing: Computing) -> None:
    first = await lease(computing)
    waiting = asyncio.create_task(lease(computing, wait_s=5))
    await asyncio.sleep(0.02)
    await computing.complete(AGENT, "", first.lease_id, KEYS, Rows(F32_4, vector(1) + bytes(16)), None)
    second = await asyncio.wait_for(waiting, 1)
    assert second.granted == [False, True]
    assert await computing.release(AGENT, "", second.lease_id, KEYS) == 1


async def test_another_format_is_neither_found_nor_granted(computing: Computing) -> None:
    await computing.cache.put(AGENT, "", KEYS[:1], rows(1), None)
    got = await lease(computing, fmt=Format(8, Dtype.F32))
    assert (list(got.found.faults), got.granted) == ([0], [False, True])


async def test_stats_count_what_was_found_and_granted(computing: Computing) -> None:
    await computing.cache.put(AGENT, "", KEYS[:1], rows(1), None)
    await lease(computing)
    stats = computing.cache.stats
    assert (stats.hits, stats.misses, stats.leases_granted) == (1, 1, 1)
