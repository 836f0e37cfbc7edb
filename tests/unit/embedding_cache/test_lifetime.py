"""How long an entry lives."""

import pytest
from stockade_embedding_cache.domain.entry import DAY_S, Lifetime


@pytest.mark.parametrize(
    ("ttl", "chance", "life"),
    [(None, 0.5, DAY_S), (None, 0.0, 0.95 * DAY_S), (100.0, 0.5, 100.0), (100.0, 1.0, 105.0)],
)
def test_the_time_asked_for_give_or_take_five_percent(ttl: float | None, chance: float, life: float) -> None:
    lifetime = Lifetime(clock=lambda: 1000.0, random=lambda: chance)
    assert lifetime.expiry(ttl) == pytest.approx(1000 + life)


def test_entries_stored_together_expire_apart() -> None:
    lifetime = Lifetime(clock=lambda: 0.0)
    ends = [lifetime.expiry(None) for _ in range(200)]
    assert len(set(ends)) > 190
    assert min(ends) >= 0.95 * DAY_S
    assert max(ends) <= 1.05 * DAY_S
    assert max(ends) - min(ends) > 0.05 * DAY_S
