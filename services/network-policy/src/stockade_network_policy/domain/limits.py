"""How much an agent may ask for, counted exactly: integers only, so that no rounding lets a request through.

The minute is a leaky bucket: what was spent leaks out at `requests_per_minute`, and never more than `burst_size` may
be in it, so that no 60 s pass more than rate + burst. The hour is a sliding window of one-minute slots, sixty-one of
them with the oldest counted whole, so that no 3,600 s pass more than `requests_per_hour`. Tokens on lease are held
in both until they are used, returned or expired: they are in the way of others from the first moment, and leak out
only once they were used.

Time is in microseconds since the epoch, by one clock. Counters keep what was spent and not what is left, so that a
change of policy keeps them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from stockade_network_policy.domain.policy import Limits

MINUTE_US = 60_000_000
SLOTS = 61
TOKEN = MINUTE_US  # one request in the bucket's unit: leaking `requests_per_minute` units a microsecond is exact
_TUNNEL_RETRY_US = 1_000_000
_LONGEST_TUNNEL_US = 24 * 60 * MINUTE_US  # of a policy without `tunnel_lifetime`: a lost end is forgotten after it


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit refused, and how long it will go on doing so."""

    rule: str
    retry_after_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What has been counted of an agent."""

    burst_left: int
    requests_last_hour: int
    tunnels_open: int
    bytes_last_hour: int
    tokens_on_lease: int
    retry_after_us: int
    as_of_us: int


class Window:
    """A sliding hour of one-minute slots."""

    __slots__ = ("_slots", "total")

    def __init__(self) -> None:
        self._slots: deque[list[int]] = deque()  # [minute, amount], oldest first
        self.total = 0

    def advance(self, now_us: int) -> int:
        """Forgets what left the window; returns the current minute."""
        minute = now_us // MINUTE_US
        slots = self._slots
        while slots and slots[0][0] <= minute - SLOTS:
            self.total -= slots.popleft()[1]
        return max(minute, slots[-1][0]) if slots else minute

    def add(self, amount: int, now_us: int) -> None:
        """Counts an amount in the current minute."""
        minute = self.advance(now_us)
        if self._slots and self._slots[-1][0] == minute:
            self._slots[-1][1] += amount
        else:
            self._slots.append([minute, amount])
        self.total += amount

    def wait_us(self, excess: int, now_us: int) -> int:
        """How long until `excess` of what was counted has left the window."""
        for minute, amount in self._slots:
            excess -= amount
            if excess <= 0:
                return max(0, (minute + SLOTS) * MINUTE_US - now_us)
        return SLOTS * MINUTE_US  # more than the limit itself is held on lease


@dataclass(slots=True)
class Lease:
    """Tokens taken in advance: tickets 0 to `tokens` - 1, each good for one request until `expire_us`."""

    tokens: int
    expire_us: int
    used: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Counters:
    """What has been counted of one agent. Every function below is one atomic step on it."""

    spent: int = 0  # in the bucket, in units of which a token has TOKEN
    at_us: int = 0
    requests: Window = field(default_factory=Window)
    received: Window = field(default_factory=Window)  # bytes, both directions
    tunnels: dict[str, int] = field(default_factory=dict)  # id to when it has ended for sure
    leases: dict[str, Lease] = field(default_factory=dict)
    held: int = 0  # tokens out on lease, neither used nor returned

    def advance(self, limits: Limits, now_us: int) -> None:
        """Leaks the bucket, forgets the hour's end, ended tunnels and dead leases."""
        if now_us > self.at_us:
            self.spent = max(0, self.spent - (now_us - self.at_us) * limits.requests_per_minute)
            self.at_us = now_us
        self.requests.advance(now_us)
        self.received.advance(now_us)
        while self.tunnels and self.tunnels[oldest := next(iter(self.tunnels))] <= now_us:
            del self.tunnels[oldest]
        if self.leases:
            for name in [name for name, lease in self.leases.items() if lease.expire_us <= now_us]:
                self._use(self._drop(name), now_us)

    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting the agent."""
        return not (self.spent or self.requests.total or self.received.total or self.tunnels or self.leases)

    def _drop(self, name: str) -> int:
        lease = self.leases.pop(name)
        return lease.tokens - len(lease.used)

    def _use(self, tokens: int, now_us: int) -> None:
        """Turns held tokens into spent ones: those of a dead lease may all have been."""
        self.held -= tokens
        self.spent += tokens * TOKEN
        if tokens:
            self.requests.add(tokens, now_us)


def take(counters: Counters, limits: Limits, now_us: int, tunnel: str = "", count: int = 1) -> Refusal | None:
    """Counts requests, all or none, and the tunnel they open; or says which limit refuses the longest."""
    counters.advance(limits, now_us)
    if refusal := _refusal(counters, limits, now_us, tunnel, count):
        return refusal
    counters.spent += count * TOKEN
    counters.requests.add(count, now_us)
    _open(counters, limits, now_us, tunnel)
    return None


def _refusal(counters: Counters, limits: Limits, now_us: int, tunnel: str, count: int = 1) -> Refusal | None:
    minute, hour = _minute(counters, limits, count), _hour(counters, limits, now_us, count)
    other = _beside_requests(counters, limits, now_us, tunnel)
    if minute is hour is other is None:
        return None
    return max(filter(None, (minute, hour, other)), key=lambda refusal: refusal.retry_after_us)


def _minute(counters: Counters, limits: Limits, count: int) -> Refusal | None:
    excess = counters.spent + (counters.held + count - limits.burst_size) * TOKEN
    return Refusal("requests_per_minute", -(-excess // limits.requests_per_minute)) if excess > 0 else None


def _hour(counters: Counters, limits: Limits, now_us: int, count: int) -> Refusal | None:
    excess = counters.requests.total + counters.held + count - limits.requests_per_hour
    return Refusal("requests_per_hour", counters.requests.wait_us(excess, now_us)) if excess > 0 else None


def _beside_requests(counters: Counters, limits: Limits, now_us: int, tunnel: str) -> Refusal | None:
    if 0 < limits.bytes_per_hour <= counters.received.total:
        excess = counters.received.total - limits.bytes_per_hour + 1
        return Refusal("bytes_per_hour", counters.received.wait_us(excess, now_us))
    if tunnel and 0 < limits.max_tunnels <= len(counters.tunnels):
        return Refusal("max_tunnels", _TUNNEL_RETRY_US)
    return None


def _open(counters: Counters, limits: Limits, now_us: int, tunnel: str) -> None:
    if tunnel:
        lifetime = round(limits.tunnel_lifetime_s * 1e6) or _LONGEST_TUNNEL_US
        counters.tunnels[tunnel] = now_us + lifetime


def add_bytes(counters: Counters, limits: Limits, amount: int, now_us: int) -> bool:
    """Counts bytes that passed; True when the hour's are used up and what is open has to be cut."""
    counters.advance(limits, now_us)
    counters.received.add(amount, now_us)
    return 0 < limits.bytes_per_hour <= counters.received.total


def lend(
    counters: Counters, limits: Limits, now_us: int, *, lease: str, tokens: int, expire_us: int
) -> tuple[int, Refusal | None]:
    """Holds up to `tokens` under a lease and says how many; 0 comes with the limit that refused."""
    counters.advance(limits, now_us)
    if refusal := _refusal(counters, limits, now_us, ""):
        return 0, refusal
    burst_left = limits.burst_size - counters.held - -(-counters.spent // TOKEN)
    hour_left = limits.requests_per_hour - counters.held - counters.requests.total
    granted = min(tokens, burst_left, hour_left)
    counters.leases[lease] = Lease(granted, expire_us)
    counters.held += granted
    return granted, None


def redeem(
    counters: Counters, limits: Limits, now_us: int, *, lease: str, ticket: int, tunnel: str = ""
) -> Refusal | None:
    """Uses one ticket of a lease in place of the bucket: once."""
    counters.advance(limits, now_us)
    held = counters.leases.get(lease)
    if held is None or not 0 <= ticket < held.tokens or ticket in held.used:
        return Refusal("lease", 0)
    if refusal := _beside_requests(counters, limits, now_us, tunnel):
        return refusal
    held.used.add(ticket)
    counters._use(1, now_us)
    _open(counters, limits, now_us, tunnel)
    return None


def reclaim(counters: Counters, limits: Limits, now_us: int, lease: str, *, spend: bool = False) -> int:
    """Ends a lease and returns how many tokens it had unused, 0 where it had ended already.

    They go back to the limits; or they count as spent, since a holder that died may have used them all.
    """
    counters.advance(limits, now_us)
    if lease not in counters.leases:
        return 0
    unused = counters._drop(lease)
    if spend:
        counters._use(unused, now_us)
    else:
        counters.held -= unused
    return unused


def usage(counters: Counters, limits: Limits, now_us: int) -> Usage:
    """What has been counted so far; counts nothing."""
    counters.advance(limits, now_us)
    refusal = _refusal(counters, limits, now_us, "")
    return Usage(
        burst_left=max(0, limits.burst_size - counters.held - -(-counters.spent // TOKEN)),
        requests_last_hour=counters.requests.total,
        tunnels_open=len(counters.tunnels),
        bytes_last_hour=counters.received.total,
        tokens_on_lease=counters.held,
        retry_after_us=refusal.retry_after_us if refusal else 0,
        as_of_us=now_us,
    )
