"""An Envoy that creates go through, as far as deploy/envoy/sidecar.yaml has it balance, retry and pass hosts over.

Sources: Envoy's documentation of `least_request`, `previous_hosts`, health checks, outlier detection and `x-envoy-
immediate-health-check-fail`. A host that says that it has no room, in a check or to what took its last place, is
passed over until a check finds room. One that answers UNAVAILABLE is passed over for as many `base_ejection_time`s as
it was lately, and once more at each turn of the `interval` in which it was not, for one less; or until a check finds
room.
"""

import random
from collections.abc import Callable, Sequence

from load.simulation.clock import Clock

TRIES = 5  # num_retries 4
CHOICES = 5  # choice_count
OTHERS = 8  # host_selection_retry_max_attempts
BACKOFF_S, BACKOFF_MOST_S = 0.01, 0.2
INTERVAL_S, EJECTION_S, EJECTION_MOST_S = 0.5, 1.0, 10.0
CHECK_S = 0.1  # the interval of the cluster's health checks
PANIC_SHARE = 0.01  # healthy_panic_threshold
NOTICE_S = 1.5  # keep-alives and health checks both find a dead host within that


class Balancer:
    """One Envoy's own view of the hosts, which are numbered."""

    def __init__(self, hosts: int, clock: Clock, rng: random.Random, has_room: Callable[[int], bool]) -> None:
        """`has_room`: what a host's health says, now."""
        self._clock, self._rng, self._has_room = clock, rng, has_room
        self._all = list(range(hosts))
        self._usable = list(self._all)
        self._at = list(self._all)  # where a host stands in _usable; -1: nowhere
        self._active = [0] * hosts
        self._ejected: dict[int, float] = {}
        self._times: dict[int, int] = {}
        self._gone: set[int] = set()
        self._full: set[int] = set()
        clock.after(INTERVAL_S * rng.random(), self._turn)
        clock.after(CHECK_S * rng.random(), self._check)

    def pick(self, tried: Sequence[int]) -> int:
        """The host for the next try."""
        host = self._least_busy()
        for _ in range(OTHERS):
            if host not in tried:
                break
            host = self._least_busy()
        self._active[host] += 1
        return host

    def told_full(self, host: int) -> None:
        """What has its place there hears that it was the last."""
        self._full.add(host)
        self._drop(host)

    def answered(self, host: int, available: bool) -> None:
        """A try came to its end there."""
        self._active[host] -= 1
        if not available and host not in self._ejected:
            self._times[host] = self._times.get(host, 0) + 1
            self._ejected[host] = self._clock.now + min(EJECTION_S * self._times[host], EJECTION_MOST_S)
            self._drop(host)

    def backoff_s(self, retry: int) -> float:
        """How long before the retry of that number, counted from 1: any time up to twice as long as before."""
        return self._rng.uniform(0.0, min(BACKOFF_S * (2**retry - 1), BACKOFF_MOST_S))

    def noticed(self, host: int, gone: bool) -> None:
        """Health checks found the host gone, or back."""
        if gone:
            self._gone.add(host)
            self._drop(host)
        else:
            self._gone.discard(host)
            self._add(host)

    def _least_busy(self) -> int:
        hosts = self._usable if len(self._usable) > PANIC_SHARE * len(self._all) else self._all
        return min((self._rng.choice(hosts) for _ in range(CHOICES)), key=self._active.__getitem__)

    def _check(self) -> None:
        """All hosts at once, as their sessions began; one that is gone does not answer."""
        for host in range(len(self._all)):
            if host in self._gone:
                continue
            if not self._has_room(host):
                self.told_full(host)
            elif self._at[host] < 0:
                self._full.discard(host)
                self._ejected.pop(host, None)
                self._add(host)
        self._clock.after(CHECK_S, self._check)

    def _turn(self) -> None:
        for host in [host for host, times in self._times.items() if host not in self._ejected]:
            self._times[host] -= 1
            if not self._times[host]:
                del self._times[host]
        for host in [host for host, until in self._ejected.items() if until <= self._clock.now]:
            del self._ejected[host]
            self._add(host)
        self._clock.after(INTERVAL_S, self._turn)

    def _drop(self, host: int) -> None:
        place = self._at[host]
        if place < 0:
            return
        last = self._usable.pop()
        if last != host:
            self._usable[place], self._at[last] = last, place
        self._at[host] = -1

    def _add(self, host: int) -> None:
        if self._at[host] < 0 and not any(host in passed for passed in (self._gone, self._ejected, self._full)):
            self._at[host] = len(self._usable)
            self._usable.append(host)
