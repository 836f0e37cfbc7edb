"""An Envoy that creates go through, as far as deploy/envoy/sidecar.yaml has it balance, retry and pass hosts over.

Sources: Envoy's documentation of `least_request` (two choices), `previous_hosts` and outlier detection. A host that
answers UNAVAILABLE is passed over for as many `base_ejection_time`s as it was lately, and once more at each turn of the
`interval` in which it was not, for one less.
"""

import random
from collections.abc import Sequence

from load.simulation.clock import Clock

TRIES = 5  # num_retries 4
CHOICES = 8  # host_selection_retry_max_attempts
BACKOFF_S, BACKOFF_MOST_S = 0.01, 0.2
INTERVAL_S, EJECTION_S, EJECTION_MOST_S = 0.5, 1.0, 10.0
PANIC_SHARE = 0.01  # healthy_panic_threshold
NOTICE_S = 1.5  # keep-alives and health checks both find a dead host within that


class Balancer:
    """One Envoy's own view of the hosts, which are numbered."""

    def __init__(self, hosts: int, clock: Clock, rng: random.Random) -> None:
        self._clock, self._rng = clock, rng
        self._all = list(range(hosts))
        self._usable = list(self._all)
        self._at = list(self._all)  # where a host stands in _usable; -1: nowhere
        self._active = [0] * hosts
        self._ejected: dict[int, float] = {}
        self._times: dict[int, int] = {}
        self._gone: set[int] = set()
        clock.after(INTERVAL_S * rng.random(), self._turn)

    def pick(self, tried: Sequence[int]) -> int:
        """The host for the next try."""
        host = self._least_busy()
        for _ in range(CHOICES):
            if host not in tried:
                break
            host = self._least_busy()
        self._active[host] += 1
        return host

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
        one, other = self._rng.choice(hosts), self._rng.choice(hosts)
        return one if self._active[one] <= self._active[other] else other

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
        if self._at[host] < 0 and host not in self._gone and host not in self._ejected:
            self._at[host] = len(self._usable)
            self._usable.append(host)
