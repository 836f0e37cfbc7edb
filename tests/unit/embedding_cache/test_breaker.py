"""The breaker round a backend."""

import logging
import time
from collections.abc import Callable

import pytest
from stockade_embedding_cache.adapters.breaker import Breaker
from stockade_embedding_cache.domain.ports import StoreUnavailable


def fail() -> None:
    raise OSError("gone")


def refused(breaker: Breaker, work: Callable[[], object]) -> bool:
    try:
        breaker.call(work)
    except StoreUnavailable:
        return True
    return False


def test_after_a_failure_nobody_waits_but_one_in_a_while() -> None:
    breaker, calls = Breaker("redis", (OSError,), probe_s=0.1), list[int]()
    assert breaker.call(lambda: 7) == 7
    assert breaker.since is None
    assert refused(breaker, fail)
    assert breaker.since is not None
    assert all(refused(breaker, lambda: calls.append(1)) for _ in range(5))
    assert calls == []
    time.sleep(0.12)
    assert refused(breaker, fail)
    assert refused(breaker, lambda: calls.append(1))
    time.sleep(0.12)
    assert not refused(breaker, lambda: calls.append(1))
    assert (breaker.since, calls) == (None, [1])


def test_what_is_no_failure_of_the_backend_passes_through() -> None:
    breaker = Breaker("redis", (OSError,))
    with pytest.raises(ZeroDivisionError):
        breaker.call(lambda: 1 // 0)
    assert breaker.since is None


def test_one_line_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker("redis", (OSError,), probe_s=0.01)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert refused(breaker, fail)
            time.sleep(0.02)
        for _ in range(3):
            breaker.call(lambda: 1)
    assert [record.message for record in caplog.records] == [
        "backend lost",
        "backend back",
    ]
