"""An agent's share of the record."""

from stockade_audit.daemon.domain.claims import AGENTS, BURST, RATE, Claims


def test_an_agent_has_a_burst_and_then_its_rate() -> None:
    claims = Claims()
    taken = sum(claims.admit("a-1", 1, second / 100) == 0 for second in range(6000))
    assert BURST + 59 * RATE <= taken <= BURST + 60 * RATE


def test_a_refused_agent_hears_when_and_may_then() -> None:
    claims = Claims()
    assert claims.admit("a-1", int(BURST), 0.0) == 0
    wait = claims.admit("a-1", 10, 0.0)
    assert wait == 10 / RATE
    assert claims.admit("a-1", 10, wait) == 0


def test_refusals_are_counted_once_and_nobody_elses_share_shrinks() -> None:
    claims = Claims()
    for _ in range(1000):
        claims.admit("loud", 1, 0.0)
    assert claims.admit("quiet", 1, 0.0) == 0
    assert claims.take_refused() == {"loud": 1000 - int(BURST)}
    assert claims.take_refused() == {}


def test_a_flood_of_names_stays_within_bounds() -> None:
    claims = Claims()
    for number in range(3 * AGENTS):
        claims.admit(f"a-{number}", 1, 0.0)
    assert len(claims._buckets) <= AGENTS
