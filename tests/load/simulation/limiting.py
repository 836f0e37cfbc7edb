"""Agents ask for decisions at many replicas that count in one Redis: how far the limits are off, and what that costs.

The replicas run `GuardedLimits` over the counting code, as they do over Redis; the Lua scripts are held equal to it by
the contract suite of `LimitStore`. The ideal beside them is one bucket that hears of each request when it is made.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

from stockade_network_policy import leases as lease_code
from stockade_network_policy.adapters import limits_guarded
from stockade_network_policy.adapters.limits_guarded import GuardedLimits
from stockade_network_policy.adapters.limits_memory import MemoryLimits
from stockade_network_policy.adapters.limits_redis import ANSWER_SECONDS
from stockade_network_policy.domain import limits as counting
from stockade_network_policy.domain.decision import Request, Verdict
from stockade_network_policy.domain.errors import LeaseUnavailable, LimitsUnavailable
from stockade_network_policy.domain.limits import Counters
from stockade_network_policy.domain.policy import Limits, Policy, Rules
from stockade_network_policy.leases import Leases, Reported

from load.simulation.clock import Clock, finished
from load.simulation.loads import Load
from load.simulation.redis import Redis, Remote

LIMITS = Limits(requests_per_minute=60, requests_per_hour=1000, burst_size=10)
POLICY = Policy(agent_type="default", allowed_domains=("api.example",), limits=LIMITS)
MINUTES = 3.0
SPREAD = 3  # nodes that a hot agent's sandboxes are on
HOT_PER_S, USUAL_PER_S = 5.0, 0.5  # a limit is one a second
STALL_S, STALLS_EVERY_S = 0.1, 30.0  # a Redis that forks to save its memory stands still that long
OUTAGE_S = 20.0  # in the run that has one, after the first minute
TOKENS = 10
DIED_SHARE = 0.05  # of the leases, whose holders never report


@dataclass
class Limited:
    """What came of it. `ideal` and `allowed` are requests of the hot agents."""

    decisions: int = 0
    allowed: int = 0
    ideal: int = 0
    unavailable: int = 0
    usual_refused: int = 0
    calls: int = 0
    leased: int = 0
    lease_calls: int = 0
    lease_lost: int = 0

    @property
    def error_pct(self) -> float:
        """How much more the hot agents got than the ideal bucket gives."""
        return 100.0 * (self.allowed - self.ideal) / self.ideal if self.ideal else 0.0


@dataclass
class _Journal:
    """Counts what would be recorded."""

    entries: int = 0

    async def append(self, _entry: Any) -> None:
        self.entries += 1

    async def append_many(self, entries: Any) -> None:
        self.entries += len(entries)


@dataclass
class Traffic:
    """Replicas, their Redis, and who asks."""

    load: Load
    seed: int
    away_share: float | None
    clock: Clock = field(default_factory=Clock)
    found: Limited = field(default_factory=Limited)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.redis = Redis(self.clock, self.rng)
        engine = MemoryLimits(self.clock.us)
        shared = Remote(engine, self.redis, ANSWER_SECONDS, lambda: LimitsUnavailable("Redis stands still"))
        self.replicas = [self._replica(shared) for _ in range(self.load.nodes)]
        self.end_s = self.clock.now + MINUTES * 60
        self._ideal: dict[str, Counters] = {}
        for number in range(self.load.hot_agents):
            self._ask_from(f"hot-{number}", self.rng.choices(self.replicas, k=SPREAD), HOT_PER_S)
        for number in range(self.load.agents):
            self._ask_from(f"usual-{number}", [self.rng.choice(self.replicas)], USUAL_PER_S)

    def run(self) -> Limited:
        """Until the minutes are over."""
        with turned(self.clock):
            self._stall()
            self.clock.run(lambda: self.clock.now >= self.end_s)
        self.found.calls = self.redis.calls.total()
        return self.found

    def outage(self) -> None:
        """Have Redis stand still in the second minute."""
        self.clock.after(60.0, lambda: self.redis.pause(OUTAGE_S))

    def _replica(self, shared: Remote) -> GuardedLimits:
        local = None if self.away_share is None else MemoryLimits(self.clock.us)
        return GuardedLimits(shared, local, self.away_share or 0.0)  # type: ignore[arg-type]

    def _stall(self) -> None:
        self.redis.pause(STALL_S)
        self.clock.after(STALLS_EVERY_S, self._stall)

    def _ask_from(self, agent: str, replicas: list[GuardedLimits], per_s: float) -> None:
        def ask() -> None:
            self._decide(agent, self.rng.choice(replicas))
            self.clock.after(self.rng.expovariate(per_s), ask)

        self.clock.after(self.rng.expovariate(per_s), ask)

    def _decide(self, agent: str, replica: GuardedLimits) -> None:
        found, is_hot = self.found, agent.startswith("hot")
        found.decisions += 1
        if is_hot:
            ideal = self._ideal.setdefault(agent, Counters())
            found.ideal += counting.take(ideal, LIMITS, self.clock.us()) is None
        try:
            passed = finished(replica.take(agent, LIMITS)) is None
        except LimitsUnavailable:
            found.unavailable += 1
            passed = False
        if is_hot:
            found.allowed += passed
        else:
            found.usual_refused += not passed


class Lending:
    """Agents that take tokens in advance, decide for themselves and report; some die before they do."""

    def __init__(self, load: Load, seed: int) -> None:
        self.clock, self.rng, self.found = Clock(), random.Random(seed), Limited()
        self.redis = Redis(self.clock, self.rng)
        engine = Remote(MemoryLimits(self.clock.us), self.redis, ANSWER_SECONDS, lambda: LimitsUnavailable("away"))
        rules = SimpleNamespace(rules=lambda _agent_type: Rules(POLICY))
        self._leases = Leases(rules, engine, _Journal(), lifetime_s=30.0)  # type: ignore[arg-type]
        for number in range(load.lease_agents):
            self.clock.after(self.rng.random() * TOKENS, lambda agent=f"lease-{number}": self._borrow(agent))

    def run(self) -> Limited:
        """Until the minutes are over."""
        with turned(self.clock):
            self.clock.run_for(MINUTES * 60)
        self.found.lease_calls = self.redis.calls.total()
        return self.found

    def _borrow(self, agent: str) -> None:
        self.clock.after(TOKENS / USUAL_PER_S, lambda: self._borrow(agent))
        try:
            lease = finished(self._leases.lend(agent=agent, agent_type="default", sandbox="", tokens=TOKENS))
        except LeaseUnavailable:
            return
        self.found.leased += lease.tokens
        if self.rng.random() < DIED_SHARE:
            self.found.lease_lost += lease.tokens
            return
        told = [_reported(agent, ticket) for ticket in range(lease.tokens)]
        self.clock.after(TOKENS / USUAL_PER_S - 1.0, lambda: self._report(lease, told))

    def _report(self, lease: lease_code.Lease, told: list[Reported]) -> None:
        self.found.decisions += finished(self._leases.report(lease, told))
        finished(self._leases.give_back(lease))


def _reported(agent: str, ticket: int) -> Reported:
    request = Request(agent=agent, agent_type="default", host="api.example", port=443, method="CONNECT")
    return Reported(request=request, verdict=Verdict.ALLOW, rule="", policy_version=0, time_ns=1, ticket=ticket)


@contextmanager
def turned(clock: Clock) -> Iterator[None]:
    """The simulated clock in place of the one that the guard and the leases tell pauses and ends by."""
    time = SimpleNamespace(monotonic=clock, time_ns=lambda: clock.us() * 1000)
    with mock.patch.object(limits_guarded, "time", time), mock.patch.object(lease_code, "time", time):
        yield


def limit(load: Load, seed: int) -> dict[str, Limited]:
    """Calm; with an outage where all is refused; with one where each replica counts at its share; and on lease."""
    found = {"calm": Traffic(load, seed, None).run()}
    for name, share in (("outage_deny", None), ("outage_local_0.3", 0.3), (f"outage_local_1/{SPREAD}", 1 / SPREAD)):
        traffic = Traffic(load, seed, share)
        traffic.outage()
        found[name] = traffic.run()
    found["leases"] = Lending(load, seed).run()
    return found
