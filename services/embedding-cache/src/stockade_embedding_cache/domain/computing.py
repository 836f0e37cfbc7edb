"""Computed once: who computes what is missing, while the others wait."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from stockade_embedding_cache.domain import layer as layers
from stockade_embedding_cache.domain.cache import Cache, Lookup, Outcome
from stockade_embedding_cache.domain.layer import Caller
from stockade_embedding_cache.domain.ports import Leases
from stockade_embedding_cache.domain.vector import Format, Rows

LEASE_S = 30.0


@dataclass(frozen=True, slots=True)
class Lease:
    """Rows sorted into found, granted to the caller, and pending elsewhere (in neither).

    `lease_id` is empty when nothing was granted; `expires` is in seconds since 1970.
    """

    found: Lookup
    granted: Sequence[bool]
    lease_id: str
    expires: float


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one caller wants to have found or to compute."""

    home: str
    sources: Sequence[str]
    keys: Sequence[bytes]
    format: Format
    lease_id: str
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Computing:
    """Leases over a cache. A lease holds within one private layer."""

    cache: Cache
    leases: Leases

    async def lease(
        self, caller: Caller, named: str, keys: Sequence[bytes], fmt: Format, ttl_s: float, wait_s: float
    ) -> Lease:
        """Find `keys`, or be told to compute what nobody else computes. Waits up to `wait_s` for others."""
        home, sources = layers.writable(caller, named), layers.readable(caller, named)
        wish = _Wish(home, sources, keys, fmt, secrets.token_hex(16), ttl_s)
        clock = asyncio.get_running_loop().time
        deadline = clock() + wait_s
        while True:
            found, granted = await self._try(wish)
            pending = [key for key, missing in zip(keys, found.missing, strict=True) if missing]
            if not pending or any(granted) or clock() >= deadline:
                break
            await self.leases.wait(home, pending, deadline - clock())
        self.cache.stats.count_found(found.entries, found.near)
        self.cache.stats.leases_granted += sum(granted)
        lease_id = wish.lease_id if any(granted) else ""
        return Lease(found, granted, lease_id, self.cache.lifetime.clock() + ttl_s)

    async def complete(
        self, caller: Caller, named: str, lease_id: str, keys: Sequence[bytes], rows: Rows, ttl_s: float | None
    ) -> Outcome:
        """Store what was computed under a lease, then let go of the lease."""
        outcome = await self.cache.put(caller, named, keys, rows, ttl_s)
        await self.leases.release(outcome.layer, keys, lease_id)
        return outcome

    async def release(self, caller: Caller, named: str, lease_id: str, keys: Sequence[bytes]) -> int:
        """Give rows of a lease back; returns how many it still held."""
        return await self.leases.release(layers.writable(caller, named), keys, lease_id)

    async def _try(self, wish: _Wish) -> tuple[Lookup, list[bool]]:
        """Look, take what is missing, and look again.

        Who computes a row stores it before he releases it. So a row that was stored after the first look and taken
        after its release is there at the second look, and is given back: that makes "computed once" true.
        """
        found = await self.cache.look_up(wish.sources, wish.keys, wish.format)
        taken = await self._take(wish, [i for i, missing in enumerate(found.missing) if missing])
        if not taken:
            return found, [False] * len(wish.keys)
        found = await self.cache.look_up(wish.sources, wish.keys, wish.format)
        granted = [missing and i in taken for i, missing in enumerate(found.missing)]
        late = [wish.keys[i] for i in taken if not granted[i]]
        if late:
            await self.leases.release(wish.home, late, wish.lease_id)
        return found, granted

    async def _take(self, wish: _Wish, rows: Sequence[int]) -> set[int]:
        """Those of `rows` that nobody else computes."""
        if not rows:
            return set()
        bits = await self.leases.acquire(wish.home, [wish.keys[i] for i in rows], wish.lease_id, wish.ttl_s)
        return {i for i, bit in zip(rows, bits, strict=True) if bit}
