"""Sandboxes come, are held at a level, and nodes die: tries per placement, time to LOST, calls to the registry."""

import random
from collections import defaultdict
from dataclasses import dataclass, field

from stockade_sandbox.adapters.fleet_memory import MemoryFleet
from stockade_sandbox.adapters.fleet_redis import ANSWER_SECONDS
from stockade_sandbox.domain.errors import FleetUnavailable, NodeFull
from stockade_sandbox.domain.placement import BEAT_SECONDS, CONTACT_SECONDS

from load.simulation.balancer import NOTICE_S, TRIES, Balancer
from load.simulation.clock import Clock
from load.simulation.host import Host
from load.simulation.loads import Load
from load.simulation.redis import Redis, Remote

HOP_S = 0.001  # caller's Envoy, node's Envoy, service and back
REFUSAL_S = 0.002
WATCHED_S = 20.0  # how long is looked at what comes of a death, and of a registry that is away
PAUSE_S = 20.0
LEVELS = (0.5, 0.8, 0.9, 1.0)  # how full the fleet is while it fills, each up to this
HELD = "held"


@dataclass
class Placed:
    """What came of it. `tries` by how full the fleet was while it filled, and while it was held."""

    tries: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    refused: int = 0
    living: int = 0
    lost_after_s: dict[str, float] = field(default_factory=dict)
    lost: int = 0
    living_on_dead: int = 0
    removed_on_return: int = 0
    lost_by_pause: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    calls_at_rest_per_s: float = 0.0
    calls_per_create: float = 0.0


class Fleet:
    """The nodes, their registry and the Envoys before them."""

    def __init__(self, load: Load, seed: int) -> None:
        self.load, self.clock, self.rng = load, Clock(), random.Random(seed)
        self.placed = Placed()
        self.redis = Redis(self.clock, self.rng)
        memory = MemoryFleet(self.clock)
        registry = Remote(memory, self.redis, ANSWER_SECONDS, lambda: FleetUnavailable("Redis stands still"))
        self.hosts: list[Host] = []
        for number in range(load.nodes):
            self.hosts.append(Host(number, self.clock, registry, load.sandboxes_per_node, self._lost))
            self.clock.now += BEAT_SECONDS / load.nodes  # nobody beats with another
        self.envoys = [Balancer(load.nodes, self.clock, self.rng, self._has_room) for _ in range(load.envoys)]
        self._names: list[tuple[str, Host]] = []
        self._asked = 0
        self._under_way = 0
        self._held = False
        self._died_at: dict[str, float] = {}

    @property
    def room(self) -> int:
        """How many sandboxes there may be."""
        return self.load.nodes * self.load.sandboxes_per_node

    def fill(self) -> None:
        """Ask for sandboxes until the level to be held is reached."""
        wanted = round(self.room * self.load.full)
        for number in range(wanted):
            self.clock.after(number / self.load.creates_per_s, self.create)
        self.clock.run(lambda: self._asked >= wanted and not self._under_way)

    def hold(self) -> None:
        """At the level: one ends, one is asked for, at random moments."""
        self._held = True
        last = self._asked + self.load.held_creates
        at_s = 0.0
        for _ in range(self.load.held_creates):
            at_s += self.rng.expovariate(self.load.creates_per_s)
            self.clock.after(at_s, self._replace)
        self.clock.run(lambda: self._asked >= last and not self._under_way)

    def create(self) -> None:
        """Ask for one."""
        self._asked += 1
        self._under_way += 1
        self._try(self.rng.choice(self.envoys), f"sb-{self._asked}", [], self._level())

    def kill(self, count: int) -> list[Host]:
        """Nodes die at once; every Envoy notices by itself."""
        dying = self.rng.sample(self.hosts, count)
        for host in dying:
            host.dead = True
            self._died_at[host.name] = self.clock.now
            self.placed.living_on_dead += len(host.living)
            number = self.hosts.index(host)
            for envoy in self.envoys:
                self.clock.after(NOTICE_S * self.rng.random(), lambda e=envoy, n=number: e.noticed(n, True))
        return dying

    def _has_room(self, number: int) -> bool:
        return self.hosts[number].has_room

    def _level(self) -> str:
        share = len(self._names) / self.room
        return HELD if self._held else f"to {next(level for level in LEVELS if share < level):.0%}"

    def _replace(self) -> None:
        place = self.rng.randrange(len(self._names))
        self._names[place], self._names[-1] = self._names[-1], self._names[place]
        name, host = self._names.pop()
        if name in host.living and not host.dead:
            host.end(name)
        self.create()

    def _try(self, envoy: Balancer, name: str, tried: list[int], level: str) -> None:
        number = envoy.pick(tried)
        tried.append(number)
        host = self.hosts[number]
        try:
            host.admit(name, -float(self._asked))
        except (NodeFull, FleetUnavailable):
            answer_s = NOTICE_S if host.dead else HOP_S + REFUSAL_S
            self.clock.after(answer_s, lambda: self._refused(envoy, name, tried, level))
            return
        if not host.has_room:
            envoy.told_full(number)
        self._names.append((name, host))
        start_s = HOP_S + self.rng.expovariate(1 / self.load.start_s)
        self.clock.after(start_s, lambda: self._started(envoy, name, tried, level))

    def _refused(self, envoy: Balancer, name: str, tried: list[int], level: str) -> None:
        envoy.answered(tried[-1], available=False)
        if len(tried) < TRIES:
            self.clock.after(envoy.backoff_s(len(tried)), lambda: self._try(envoy, name, tried, level))
            return
        self._under_way -= 1
        self.placed.refused += 1
        self.placed.tries[level].append(len(tried))

    def _started(self, envoy: Balancer, name: str, tried: list[int], level: str) -> None:
        host = self.hosts[tried[-1]]
        envoy.answered(tried[-1], available=True)
        host.started(name)
        self._under_way -= 1
        self.placed.tries[level].append(len(tried))

    def _lost(self, _by: str, node: str, sandboxes: int) -> None:
        if node not in self._died_at:
            self.placed.lost_by_pause += sandboxes
            return
        self.placed.lost_after_s.setdefault(node, self.clock.now - self._died_at[node])
        self.placed.lost += sandboxes


def place(load: Load, seed: int) -> Placed:
    """Fill, hold, rest, lose nodes, have them back, and have the registry stand still."""
    fleet = Fleet(load, seed)
    fleet.clock.run_for(CONTACT_SECONDS + BEAT_SECONDS)
    fleet.fill()
    fleet.hold()
    placed, redis = fleet.placed, fleet.redis
    placed.living = sum(len(host.living) for host in fleet.hosts)
    created = sum(map(len, placed.tries.values()))
    placed.calls_per_create = (redis.calls["claim"] + redis.calls["publish"] - load.held_creates) / created
    before = redis.calls.total()
    fleet.clock.run_for(10.0)
    placed.calls_at_rest_per_s = (redis.calls.total() - before) / 10.0
    dead = fleet.kill(load.deaths)
    fleet.clock.run_for(WATCHED_S)
    for host in dead:
        placed.removed_on_return += host.come_back()
    redis.pause(PAUSE_S)
    fleet.clock.run_for(PAUSE_S + WATCHED_S)
    placed.calls = dict(redis.calls)
    return placed
