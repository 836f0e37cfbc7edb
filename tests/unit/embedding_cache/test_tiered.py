"""Memory over a store that others clear, and that comes and goes."""

from typing import Any

import pytest
from stockade_embedding_cache.adapters.memory import MemoryStore
from stockade_embedding_cache.adapters.tiered import TieredStore
from stockade_embedding_cache.domain.entry import Quota
from stockade_embedding_cache.domain.ports import Store, StoreUnavailable

from support.cache import TurnedClock, entry, key

AMPLE = Quota(1000, 1 << 20)
A = "agents/a"


class Shared:
    """A store below that counts what it is asked, and may be away."""

    def __init__(self, store: Store) -> None:
        self._store, self.away, self.asked = store, False, list[bytes]()

    def __getattr__(self, name: str) -> Any:
        if self.away and name in {"get", "has", "put", "epoch", "clear", "delete", "sizes"}:
            raise StoreUnavailable("shared")
        return getattr(self._store, name)

    async def get(self, layer: str, keys: Any) -> Any:
        self.asked += keys
        return await self.__getattr__("get")(layer, keys)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def below(clock: TurnedClock) -> Shared:
    return Shared(MemoryStore(total=AMPLE, quota=AMPLE, clock=clock))


@pytest.fixture
def replica(below: Shared, clock: TurnedClock) -> TieredStore:
    return TieredStore(MemoryStore(total=AMPLE, quota=AMPLE, clock=clock), below, clock=clock)


@pytest.fixture
def other(below: Shared, clock: TurnedClock) -> TieredStore:
    return TieredStore(MemoryStore(total=AMPLE, quota=AMPLE, clock=clock), below, clock=clock)


async def found(store: Store, *names: object) -> list[bool]:
    return [e is not None for e in (await store.get(A, [key(name) for name in names])).entries]


async def put(store: Store, clock: TurnedClock, *names: object) -> None:
    await store.put(A, {key(name): entry(name, now=clock.now) for name in names})


async def test_hits_are_served_from_memory(replica: TieredStore, below: Shared, clock: TurnedClock) -> None:
    await put(replica, clock, 1, 2)
    assert await found(replica, 1, 2, 3) == [True, True, False]
    assert below.asked == [key(3)]


async def test_what_another_replica_put_is_found_and_kept(
    replica: TieredStore, other: TieredStore, below: Shared, clock: TurnedClock
) -> None:
    await put(other, clock, 1)
    assert await found(replica, 1) == await found(replica, 1) == [True]
    assert below.asked == [key(1)]


@pytest.mark.parametrize("way", ["clear", "delete", "clear_writer"])
async def test_what_another_replica_removed_is_served_no_more(
    replica: TieredStore, other: TieredStore, clock: TurnedClock, way: str
) -> None:
    await put(replica, clock, 1)
    if way == "clear":
        await other.clear(A)
    elif way == "delete":
        await other.delete(A, [key(1)])
    else:
        await other.clear_writer("agent/a")
    assert await found(replica, 1) == [False]


async def test_while_the_store_is_away_memory_serves_what_it_has(
    replica: TieredStore, below: Shared, clock: TurnedClock
) -> None:
    await put(replica, clock, 1)
    below.away = True
    await put(replica, clock, 2)
    assert await found(replica, 1, 2, 3) == [True, True, False]
    assert await replica.has(A, [key(1), key(2), key(3)]) == [True, True, False]
    with pytest.raises(StoreUnavailable):
        await replica.clear(A)


async def test_a_cleared_entry_outlives_its_clearing_by_a_minute_at_most(
    replica: TieredStore, other: TieredStore, below: Shared, clock: TurnedClock
) -> None:
    """The store goes away for one replica right after the other cleared."""
    await put(replica, clock, 1)
    await other.clear(A)
    below.away = True
    clock.now += 60
    assert await found(replica, 1) == [True]
    clock.now += 0.1
    assert await found(replica, 1) == [False]
    assert await replica.has(A, [key(1)]) == [False]
    below.away = False
    assert await found(replica, 1) == [False]


async def test_an_entry_read_before_a_clearing_is_not_kept_after_it(
    replica: TieredStore, below: Shared, clock: TurnedClock
) -> None:
    """The clearing overtakes a reply that is still under way."""
    await below.put(A, {key(1): entry(1)})
    real = below._store.get

    async def overtaken(layer: str, keys: Any) -> Any:
        batch = await real(layer, keys)
        await replica.clear(A)
        return batch

    below._store.get = overtaken  # type: ignore[method-assign]
    await found(replica, 1)
    below._store.get = real  # type: ignore[method-assign]
    assert await found(replica, 1) == [False]
