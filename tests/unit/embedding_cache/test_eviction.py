"""Which entry a shelf gives up."""

import random
from collections.abc import Callable

import pytest
from stockade_embedding_cache.domain.entry import Entry
from stockade_embedding_cache.domain.eviction import Lru, Shelf, Sieve

from support.cache import entry, key


def fill(shelf: Shelf, *names: object) -> None:
    for name in names:
        shelf.put(key(name), entry(name))


def evicted(shelf: Shelf, count: int) -> list[bytes]:
    return [shelf.evict().data for _ in range(count)]


def data(*names: object) -> list[bytes]:
    return [entry(name).data for name in names]


def test_sieve_evicts_in_order_of_arrival_and_spares_once_what_was_used() -> None:
    shelf = Sieve()
    fill(shelf, "a", "b", "c", "d")
    shelf.get(key("a"))
    shelf.get(key("c"))
    assert evicted(shelf, 4) == data("b", "d", "a", "c")


def test_sieves_hand_goes_on_where_it_stopped() -> None:
    shelf = Sieve()
    fill(shelf, "a", "b", "c")
    shelf.get(key("a"))
    assert evicted(shelf, 1) == data("b")
    fill(shelf, "d")
    assert evicted(shelf, 2) == data("c", "d")


def test_sieves_hand_survives_the_removal_of_its_place() -> None:
    shelf = Sieve()
    fill(shelf, "a", "b", "c", "d")
    shelf.get(key("a"))
    shelf.evict()
    shelf.pop(key("c"))
    assert evicted(shelf, 2) == data("d", "a")


def test_lru_evicts_what_was_used_longest_ago() -> None:
    shelf = Lru()
    fill(shelf, "a", "b", "c")
    shelf.get(key("a"))
    shelf.put(key("b"), entry("b"))
    assert evicted(shelf, 3) == data("c", "a", "b")


@pytest.mark.parametrize("make", [Sieve, Lru])
def test_peeking_is_no_use(make: Callable[[], Shelf]) -> None:
    shelf = make()
    fill(shelf, "a", "b")
    assert shelf.peek(key("a")) == entry("a")
    assert evicted(shelf, 1) == data("a")


@pytest.mark.parametrize("make", [Sieve, Lru])
def test_an_empty_shelf_has_nothing_to_evict(make: Callable[[], Shelf]) -> None:
    shelf = make()
    fill(shelf, "a")
    shelf.evict()
    assert (shelf.get(key("a")), shelf.pop(key("a")), len(shelf)) == (None, None, 0)
    with pytest.raises(KeyError):
        shelf.evict()


@pytest.mark.parametrize("make", [Sieve, Lru])
def test_a_long_random_life_agrees_with_a_dict(make: Callable[[], Shelf]) -> None:
    shelf, choose = make(), random.Random(3)
    model: dict[bytes, Entry] = {}
    for _ in range(5000):
        name = choose.randrange(60)
        match choose.randrange(4):
            case 0:
                assert shelf.put(key(name), entry(name)) == model.get(key(name))
                model[key(name)] = entry(name)
            case 1:
                assert shelf.pop(key(name)) == model.pop(key(name), None)
            case 2:
                assert shelf.get(key(name)) == model.get(key(name))
            case _ if model:
                gone = shelf.evict()
                del model[next(k for k, v in model.items() if v == gone)]
        assert set(shelf) == set(model)
