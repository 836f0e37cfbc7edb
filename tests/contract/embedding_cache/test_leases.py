"""What every holder of leases promises (domain/ports.py, Leases)."""

import asyncio

from stockade_embedding_cache.adapters.leases import MOST_HELD
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


async def take(leases: Leases, keys: list[bytes], ttl_s: float) -> list[bytes]:
    """Those of many keys that one holder is granted, asked for as many at a time as a message holds."""
    chunks = (keys[at : at + 4096] for at in range(0, len(keys), 4096))
    granted = [bit for chunk in chunks for bit in await leases.acquire(A, chunk, "greedy", ttl_s)]
    return [taken for taken, bit in zip(keys, granted, strict=True) if bit]


async def test_no_layer_fills_the_cache_with_leases(leases: Leases) -> None:
    more = [key(f"more {i}") for i in range(1000)]
    taken = await take(leases, [key(i) for i in range(2 * MOST_HELD)], 30)
    assert len(taken) == MOST_HELD
    assert await leases.acquire(A, more, "greedy", 30) == [False] * len(more)
    assert await leases.acquire(B, more, "another", 30) == [True] * len(more)
    assert await leases.release(A, taken, "greedy") == MOST_HELD
    assert await leases.acquire(A, more, "greedy", 30) == [True] * len(more)


async def test_leases_that_ran_out_make_room(leases: Leases, clock: TurnedClock) -> None:
    taken = await take(leases, [key(i) for i in range(2 * MOST_HELD)], 1)
    clock.now += 1
    await asyncio.sleep(1.1)
    assert await leases.acquire(A, [key("more"), taken[0]], "another", 30) == [True, True]


async def test_a_repeated_key_is_granted_once(leases: Leases) -> None:
    assert await leases.acquire(A, [ONE, ONE], "first", 30) == [True, False]
