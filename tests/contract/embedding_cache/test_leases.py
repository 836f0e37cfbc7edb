"""What every holder of leases promises (domain/ports.py, Leases)."""

import asyncio

from stockade_embedding_cache.adapters.leases import MOST_HELD, MemoryLeases
from stockade_embedding_cache.domain.ports import Leases

from support.cache import TurnedClock, key

A, B = "agents/a", "agents/b"
ONE, TWO = key(1), key(2)


async def test_a_key_is_granted_once(leases: Leases) -> None:
    assert await leases.acquire(A, [ONE], "first", 30) == [True]
    assert await leases.acquire(A, [ONE, TWO], "second", 30) == [False, True]


async def test_a_lease_holds_in_its_layer_only(leases: Leases) -> None:
    await leases.acquire(A, [ONE], "first", 30)
    assert await leases.acquire(B, [ONE], "second", 30) == [True]


async def test_a_released_key_is_free(leases: Leases) -> None:
    await leases.acquire(A, [ONE, TWO], "first", 30)
    assert await leases.release(A, [ONE, ONE], "first") == 1
    assert await leases.acquire(A, [ONE, TWO], "second", 30) == [True, False]


async def test_nobody_releases_anothers_lease(leases: Leases) -> None:
    await leases.acquire(A, [ONE], "first", 30)
    assert await leases.release(A, [ONE], "second") == 0
    assert await leases.acquire(A, [ONE], "second", 30) == [False]


async def test_a_lease_that_ran_out_is_free(leases: Leases, clock: TurnedClock) -> None:
    await leases.acquire(A, [ONE], "first", 0.3)
    clock.now += 0.3
    await asyncio.sleep(0.35)
    assert await leases.acquire(A, [ONE], "second", 30) == [True]
    assert await leases.release(A, [ONE], "first") == 0


async def test_waiting_ends_with_a_release(leases: Leases) -> None:
    await leases.acquire(A, [ONE], "first", 30)
    waiting = asyncio.create_task(leases.wait(A, [ONE], 10))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await leases.release(A, [ONE], "first")
    await asyncio.wait_for(waiting, 1)


async def test_waiting_ends_with_its_time(leases: Leases) -> None:
    await leases.acquire(A, [ONE], "first", 30)
    await asyncio.wait_for(leases.wait(A, [ONE], 0.05), 1)


async def test_no_layer_fills_the_process_with_leases(clock: TurnedClock) -> None:
    leases, many = MemoryLeases(clock=clock), [key(i) for i in range(MOST_HELD)]
    await leases.acquire(A, many, "greedy", 30)
    assert await leases.acquire(A, [key("more")], "greedy", 30) == [False]
    assert await leases.acquire(B, [key("more")], "another", 30) == [True]
    clock.now += 30
    assert await leases.acquire(A, [key("more"), many[0]], "greedy", 30) == [True, True]


async def test_a_repeated_key_is_granted_once(leases: Leases) -> None:
    assert await leases.acquire(A, [ONE, ONE], "first", 30) == [True, False]
