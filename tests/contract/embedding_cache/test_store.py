"""What every store promises (domain/ports.py, Store)."""

from collections.abc import Callable

from stockade_embedding_cache.domain.entry import Entry, Quota, Size
from stockade_embedding_cache.domain.ports import Store

from support.cache import START, TurnedClock, entry, key, vector

MakeStore = Callable[..., Store]
A, B = "agents/a", "types/b"


def entries(*names: object, **options: object) -> dict[bytes, Entry]:
    return {key(name): entry(name, **options) for name in names}  # type: ignore[arg-type]


async def data(store: Store, layer: str, *names: object) -> list[bytes | None]:
    batch = await store.get(layer, [key(name) for name in names])
    return [found.data if found else None for found in batch.entries]


async def test_gives_back_what_was_put_in_the_order_asked(store: Store) -> None:
    await store.put(A, entries(*range(600)))
    order = [3, "no", 0, 599, 3, "nor this", 1]
    assert await data(store, A, *order) == [None if isinstance(name, str) else vector(name) for name in order]


async def test_keeps_all_of_an_entry(store: Store) -> None:
    await store.put(A, entries("x", writer="operator/ada"))
    (found,) = (await store.get(A, [key("x")])).entries
    assert found == entry("x", writer="operator/ada")


async def test_layers_do_not_see_each_other(store: Store) -> None:
    await store.put(A, entries("x"))
    assert await data(store, B, "x") == [None]
    assert await store.has(B, [key("x")]) == [False]
    assert await store.delete(B, [key("x")]) == 0
    assert await store.clear(B) == 0
    assert await data(store, A, "x") == [vector("x")]


async def test_has_in_order(store: Store) -> None:
    await store.put(A, entries(1, 2))
    assert await store.has(A, [key(2), key(3), key(1), key(2)]) == [True, False, True, True]


async def test_overwriting_replaces_and_renews(store: Store, clock: TurnedClock) -> None:
    await store.put(A, {key("x"): entry("old", life=10)})
    clock.now += 9
    await store.put(A, {key("x"): entry("new", life=10, now=clock.now)})
    clock.now += 9
    (found,) = (await store.get(A, [key("x")])).entries
    assert found is not None
    assert (found.data, found.expires) == (vector("new"), START + 19)
    assert await store.size(A) == Size(1, 16)


async def test_expired_entries_are_not_there(store: Store, clock: TurnedClock) -> None:
    await store.put(A, {**entries("short", life=10), **entries("long", life=20)})
    clock.now += 10
    assert await data(store, A, "short", "long") == [None, vector("long")]
    assert await store.has(A, [key("short"), key("long")]) == [False, True]
    assert [listed.key for listed in await store.page(A, limit=10)] == [key("long")]
    assert await store.size(A) == Size(1, 16)


async def test_prune_counts_what_it_removes(store: Store, clock: TurnedClock) -> None:
    await store.put(A, {**entries(1, 2, life=10), **entries(3, life=20)})
    await store.put(B, entries(1, life=10))
    clock.now += 10
    assert await store.prune() == Size(3, 48)
    assert await store.prune() == Size()
    assert await store.sizes() == {A: Size(1, 16)}


async def test_delete_counts_and_begins_an_epoch(store: Store) -> None:
    stored = await store.put(A, entries(1, 2))
    assert await store.delete(A, [key(1), key("no")]) == 1
    assert await data(store, A, 1, 2) == [None, vector(2)]
    assert await store.epoch(A) > stored.epoch


async def test_clear_counts_and_begins_an_epoch(store: Store) -> None:
    stored = await store.put(A, entries(1, 2))
    await store.put(B, entries(1))
    untouched = await store.epoch(B)
    assert await store.clear(A) == 2
    assert await data(store, A, 1, 2) == [None, None]
    assert await store.epoch(A) > stored.epoch
    assert await store.epoch(B) == untouched
    assert await data(store, B, 1) == [vector(1)]


async def test_each_reply_carries_the_epoch(store: Store) -> None:
    stored = await store.put(A, entries(1))
    assert (await store.get(A, [key(1)])).epoch == stored.epoch == await store.epoch(A)
    await store.clear(A)
    assert (await store.get(A, [key(1)])).epoch == await store.epoch(A) > stored.epoch


async def test_a_writer_can_be_cleared_everywhere(store: Store) -> None:
    await store.put(A, {**entries(1, writer="agent/bad"), **entries(2, writer="agent/good")})
    await store.put(B, entries(1, writer="agent/bad"))
    before = await store.epoch(A), await store.epoch(B)
    assert await store.clear_writer("agent/bad") == {A: 1, B: 1}
    assert await data(store, A, 1, 2) == [None, vector(2)]
    assert await data(store, B, 1) == [None]
    assert await store.epoch(A) > before[0]
    assert await store.epoch(B) > before[1]


async def test_a_writer_can_be_cleared_in_one_layer(store: Store) -> None:
    await store.put(A, entries(1, writer="agent/bad"))
    await store.put(B, entries(1, writer="agent/bad"))
    assert await store.clear_writer("agent/bad", A) == {A: 1}
    assert await data(store, B, 1) == [vector(1)]


async def test_pages_are_in_key_order_without_gaps_or_repeats(store: Store) -> None:
    await store.put(A, entries(*range(25)))
    seen: list[bytes] = []
    while page := await store.page(A, after=seen[-1] if seen else b"", limit=10):
        seen += [listed.key for listed in page]
    assert seen == sorted(key(name) for name in range(25))


async def test_a_page_of_one_writer(store: Store) -> None:
    await store.put(A, {**entries(1, writer="agent/x"), **entries(2, writer="agent/y")})
    (listed,) = await store.page(A, limit=10, writer="agent/y")
    assert (listed.key, listed.format, listed.writer) == (key(2), entry(2).format, "agent/y")


async def test_a_layer_keeps_to_its_entries(make_store: MakeStore) -> None:
    store = make_store(quota=Quota(10, 1 << 20))
    await store.put(A, entries(*range(8)))
    stored = await store.put(A, entries(*range(8, 14)))
    assert stored.evicted == 4
    assert (await store.size(A)).entries == 10


async def test_a_layer_keeps_to_its_bytes(make_store: MakeStore) -> None:
    store = make_store(quota=Quota(100, 100))
    await store.put(A, entries(*range(8)))
    assert (await store.size(A)).bytes <= 100


async def test_what_exceeds_a_quota_by_itself_is_refused_and_evicts_nothing(make_store: MakeStore) -> None:
    store = make_store(quota=Quota(100, 100))
    await store.put(A, entries(1))
    stored = await store.put(A, {**entries(2), **entries("huge", size=64)})
    assert stored.refused == {key("huge")}
    assert await data(store, A, 1, 2, "huge") == [vector(1), vector(2), None]


async def test_one_layers_scan_evicts_nothing_of_another(make_store: MakeStore) -> None:
    store = make_store(total=Quota(30, 1 << 20))
    await store.put(B, entries(*range(10)))
    for start in range(0, 200, 20):
        await store.put(A, entries(*range(start, start + 20)))
    assert await data(store, B, *range(10)) == [vector(name) for name in range(10)]
    assert sum(size.entries for size in (await store.sizes()).values()) <= 30


async def test_many_keys_and_none(store: Store) -> None:
    assert (await store.get(A, [])).entries == []
    assert await store.has(A, []) == []
    await store.put(A, {})
    names = range(4096)
    await store.put(A, entries(*names))
    assert await data(store, A, *names) == [vector(name) for name in names]
