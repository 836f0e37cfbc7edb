"""`Judgement` with a real journal: leases, tunnels, bytes, and a record that cannot be written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from stockade_audit import Journal, RecordUnavailable
from stockade_audit import journal as journal_module
from stockade_network_policy.adapters.limits_guarded import GuardedLimits
from stockade_network_policy.adapters.limits_memory import MemoryLimits
from stockade_network_policy.adapters.limits_redis import RedisLimits
from stockade_network_policy.adapters.policies_memory import MemoryPolicies
from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.domain.decision import Decision, Verdict
from stockade_network_policy.domain.policy import Change, Limits, Policy
from stockade_network_policy.domain.ports import LimitStore, Write
from stockade_network_policy.judgement import Ended, Judgement, Outcome
from stockade_network_policy.leases import Leases, Reported

from support.decision_cases import CASES, Case, policy, request
from support.journals import leaves

LIMITS = Limits(requests_per_minute=1, requests_per_hour=100, burst_size=10, max_tunnels=2, bytes_per_hour=1000)


@dataclass
class Bench:
    """What a judgement is made of."""

    directory: Path
    limits: LimitStore
    journal: Journal
    judgement: Judgement
    leases: Leases

    def entries(self, **wanted: Any) -> list[dict[str, Any]]:
        found = leaves(self.directory / "policy-0")
        return [entry for entry in found if wanted.items() <= entry.items()]


Make = Callable[..., Any]


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(journal_module, "MAX_WAIT_S", 30.0)  # a busy disk is not what is tested here
    made: list[Bench] = []

    async def build(held: Policy | None = None, limits: LimitStore | None = None) -> Bench:
        catalogue = Catalogue(MemoryPolicies(), {})
        writes = [policy("default"), held or policy(limits=LIMITS)]
        await catalogue.write([Write(policy=p, change=Change.CREATED) for p in writes], by="test")
        journal = Journal.open(tmp_path, service="policy", slot="policy-0")
        counting = limits or MemoryLimits()
        judgement, leases = Judgement(catalogue, counting, journal), Leases(catalogue, counting, journal, 30.0)
        made.append(Bench(tmp_path, counting, journal, judgement, leases))
        return made[-1]

    yield build
    for bench in made:
        bench.journal.close()


def ended(decision: Decision, *, sent: int = 0, received: int = 0, **details: str) -> Ended:
    """Word that the decision's request ended."""
    outcome = Outcome(status=200, bytes_sent=sent, bytes_received=received, duration_s=1.0, details=details)
    return Ended(decision.decision_id, outcome)


@contextmanager
def unwritable(bench: Bench) -> Iterator[None]:
    """The journal as it is while its disk hangs: every append is refused."""
    bench.journal._unavailable = "the journal was not written within 250 ms"
    try:
        yield
    finally:
        bench.journal._unavailable = ""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_the_table_of_decisions(make: Make, case: Case) -> None:
    bench = await make(case.policy)
    decision = await bench.judgement.judge(case.request)
    allowed = decision.verdict is Verdict.ALLOW
    assert (allowed, decision.rule, decision.reported) == (case.allowed, case.rule, case.reported)
    assert len(bench.entries(id=decision.decision_id)) == 1


async def test_a_ticket_is_debited_in_place_of_the_bucket_and_reported_for_nothing(make: Make) -> None:
    bench = await make()
    lease = await bench.leases.lend(agent="a1", agent_type="tester", sandbox="", tokens=6)
    with_ticket = request(lease=f"{lease.lease_id}.0")
    assert (await bench.judgement.judge(with_ticket)).verdict is Verdict.ALLOW
    assert (await bench.limits.usage("a1", LIMITS)).burst_left == 4
    told = Reported(request=request(), verdict=Verdict.ALLOW, rule="", policy_version=1, time_ns=1, ticket=0)
    assert await bench.leases.report(lease, [told]) == 0
    assert await bench.leases.give_back(lease) == 5
    assert (await bench.limits.usage("a1", LIMITS)).burst_left == 9


@pytest.mark.parametrize(
    "lease", ["no-such-lease.0", "nonsense", ".", "x.-1", "x.99999999999999999999", f"x.{'9' * 9000}"]
)
async def test_a_ticket_that_is_none_costs_an_ordinary_token(make: Make, lease: str) -> None:
    bench = await make()
    assert (await bench.judgement.judge(request(lease=lease))).verdict is Verdict.ALLOW
    assert (await bench.limits.usage("a1", LIMITS)).burst_left == 9


async def test_a_ticket_used_twice_costs_a_token_the_second_time(make: Make) -> None:
    bench = await make()
    lease = await bench.leases.lend(agent="a1", agent_type="tester", sandbox="", tokens=1)
    for _ in range(2):
        await bench.judgement.judge(request(lease=f"{lease.lease_id}.0"))
    assert (await bench.limits.usage("a1", LIMITS)).requests_last_hour == 2


async def test_another_agent_cannot_use_a_lease(make: Make) -> None:
    bench = await make()
    lease = await bench.leases.lend(agent="a1", agent_type="tester", sandbox="", tokens=5)
    await bench.judgement.judge(request(agent="a2", lease=f"{lease.lease_id}.0"))
    assert (await bench.limits.usage("a1", LIMITS)).tokens_on_lease == 5


async def test_a_tunnel_counts_until_its_outcome(make: Make) -> None:
    bench = await make()
    tunnels = [await bench.judgement.judge(request(method="CONNECT")) for _ in range(3)]
    assert [t.verdict for t in tunnels] == [Verdict.ALLOW, Verdict.ALLOW, Verdict.LIMIT]
    assert tunnels[2].rule == "max_tunnels"
    twice = [ended(tunnels[0]), ended(tunnels[0])]
    assert await bench.judgement.end(twice) == [True, False]
    assert await bench.judgement.end(twice) == [False, False]
    assert (await bench.judgement.judge(request(method="CONNECT"))).verdict is Verdict.ALLOW


async def test_bytes_of_an_open_tunnel_are_counted_once(make: Make) -> None:
    bench = await make()
    tunnel = await bench.judgement.judge(request(method="CONNECT"))
    assert not await bench.judgement.progress(tunnel.decision_id, 100, 300)
    assert not await bench.judgement.progress(tunnel.decision_id, 100, 300)
    assert (await bench.limits.usage("a1", LIMITS)).bytes_last_hour == 400
    assert await bench.judgement.progress(tunnel.decision_id, 400, 600)
    await bench.judgement.end([ended(tunnel, sent=500, received=700)])
    assert (await bench.limits.usage("a1", LIMITS)).bytes_last_hour == 1200
    assert (await bench.judgement.judge(request())).rule == "bytes_per_hour"


async def test_a_tunnel_that_outlives_its_policy_is_told_once(make: Make) -> None:
    lifetime = replace(LIMITS, tunnel_lifetime_s=0.05)
    bench = await make(policy(limits=lifetime))
    await bench.judgement.judge(request(method="CONNECT", sandbox="sb-1"))
    await bench.judgement.judge(request(sandbox="sb-2"))
    assert bench.judgement.overdue() == []
    await asyncio.sleep(0.1)
    assert bench.judgement.overdue() == ["sb-1"]
    assert bench.judgement.overdue() == []


async def test_a_tunnel_that_ended_without_a_word_is_shown_among_the_refusals(make: Make) -> None:
    bench = await make()
    tunnel = await bench.judgement.judge(request(method="CONNECT", sandbox="sb-1"))
    await bench.judgement.end([ended(tunnel, refused="SERVER_NAME: the TLS name is not the host")])
    (shown,) = bench.judgement.recent("sb-1")
    assert shown.outcome is not None
    assert "TLS name" in shown.outcome.text


async def test_what_cannot_be_recorded_is_not_answered_and_opens_no_tunnel(make: Make) -> None:
    bench = await make()
    with unwritable(bench), pytest.raises(RecordUnavailable):
        await bench.judgement.judge(request(method="CONNECT"))
    assert (await bench.limits.usage("a1", LIMITS)).tunnels_open == 0
    decision = await bench.judgement.judge(request())
    with unwritable(bench), pytest.raises(RecordUnavailable):
        await bench.judgement.end([ended(decision)])
    assert await bench.judgement.end([ended(decision)]) == [True]


async def test_a_lease_that_cannot_be_recorded_is_not_given_and_holds_nothing(make: Make) -> None:
    bench = await make()
    with unwritable(bench), pytest.raises(RecordUnavailable):
        await bench.leases.lend(agent="a1", agent_type="tester", sandbox="", tokens=6)
    assert (await bench.limits.usage("a1", LIMITS)).burst_left == 10


async def test_a_report_that_could_not_be_recorded_can_be_made_again(make: Make) -> None:
    bench = await make()
    lease = await bench.leases.lend(agent="a1", agent_type="tester", sandbox="", tokens=6)
    told = Reported(request=request(), verdict=Verdict.ALLOW, rule="", policy_version=1, time_ns=1, ticket=0)
    with unwritable(bench), pytest.raises(RecordUnavailable):
        await bench.leases.report(lease, [told])
    assert await bench.leases.report(lease, [told]) == 1
    assert await bench.leases.report(lease, [told]) == 0
    assert (await bench.limits.usage("a1", LIMITS)).requests_last_hour == 1


async def test_a_lease_whose_end_could_not_be_recorded_ends_again(make: Make) -> None:
    bench = await make()
    lease = await bench.leases.lend(agent="a1", agent_type="tester", sandbox="", tokens=6)
    with unwritable(bench), pytest.raises(RecordUnavailable):
        await bench.leases.give_back(lease)
    assert await bench.leases.give_back(lease) == 6
    (closed,) = bench.entries(intent_id=lease.lease_id)
    assert (closed["action"], closed["metadata"]["returned"]) == ("LEASE_CLOSED", 6)


async def test_without_its_engine_nothing_passes_and_the_answer_says_when_to_retry(make: Make) -> None:
    away = GuardedLimits(RedisLimits("unix:///nowhere/redis.sock"), None, 1.0)
    bench = await make(limits=away)
    decision = await bench.judgement.judge(request())
    assert (decision.verdict, decision.rule, decision.retry_after_s) == (Verdict.LIMIT, "limits_unavailable", 1.0)
    assert (await bench.judgement.judge(request("evil.com"))).verdict is Verdict.DENY


async def test_a_policy_without_audit_logging_trims_fields_and_keeps_the_entry(make: Make) -> None:
    bench = await make(policy(audit_logging=False))
    decision = await bench.judgement.judge(request(path="/secret"))
    (entry,) = bench.entries(id=decision.decision_id)
    assert not {"path", "method", "metadata"} & entry.keys()
    assert (entry["action"], entry["domain"], entry["agent"]) == ("ALLOWED", "api.example.com", "a1")
