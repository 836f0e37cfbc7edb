"""The cache in the client's process."""

from stockade_agent.near_cache import NearCache

from support.clock import Clock


def test_serves_for_a_minute_at_most() -> None:
    clock = Clock()
    near = NearCache(clock=clock, life_s=3600)
    near.put(b"k", b"v")
    clock.now = 59.9
    assert near.get(b"k") == b"v"
    clock.now = 60.0
    assert near.get(b"k") is None


def test_keeps_to_its_bytes_least_recently_used_first_out() -> None:
    near = NearCache(max_bytes=3)
    for name in (b"a", b"b", b"c"):
        near.put(name, b"1")
    near.get(b"a")
    near.put(b"d", b"1")
    assert [near.get(name) for name in (b"a", b"b", b"c", b"d")] == [b"1", None, b"1", b"1"]


def test_a_new_epoch_empties_it_and_the_first_does_not() -> None:
    near = NearCache()
    near.put(b"k", b"v")
    near.heed({"agents/a": 1})
    near.heed({"types/t": 7})
    near.heed({"agents/a": 1})
    assert near.get(b"k") == b"v"
    near.heed({"agents/a": 2})
    assert (near.get(b"k"), len(near)) == (None, 0)


def test_replacing_counts_once() -> None:
    near = NearCache(max_bytes=2)
    for _ in range(5):
        near.put(b"k", b"12")
    assert near.get(b"k") == b"12"
