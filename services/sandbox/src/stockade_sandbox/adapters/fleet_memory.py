"""The fleet in memory: a node alone, or several in one process for tests and simulations."""

import math
import time
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from stockade_sandbox.domain.errors import FleetUnavailable, NodeNameTaken, NotMember, RequestIdReused
from stockade_sandbox.domain.node import Heard, Node, Order
from stockade_sandbox.domain.placement import (
    REQUEST_SECONDS,
    SETTLE_SECONDS,
    SILENT_SECONDS,
    buried,
    given_up,
    held_quota,
    told,
)
from stockade_sandbox.domain.ports import Claim
from stockade_sandbox.domain.sandbox import Reason, Sandbox, State, listing_key


class MemoryFleet:
    """See `domain.ports.Fleet`. `clock` is seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._settled_at = -math.inf
        self._members: dict[str, str] = {}
        self._nodes: dict[str, Node] = {}
        self._beats: dict[str, float] = {}
        self._orders: dict[str, Order] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._listing: list[str] = []
        self._by_owner: defaultdict[str, set[str]] = defaultdict(set)
        self._by_node: defaultdict[str, set[str]] = defaultdict(set)
        self._requests: dict[tuple[str, str], tuple[str, str, float]] = {}

    async def join(self, node: Node, returning: bool) -> None:
        """See `Fleet.join`."""
        now, known = self._clock(), self._nodes.get(node.name)
        alive = 0 <= now - self._beats.get(node.name, -math.inf) < SILENT_SECONDS
        if known and alive and (known.place != node.place or (returning and known.incarnation != node.incarnation)):
            raise NodeNameTaken(node.name, known.host)
        if returning and known is None:
            self._settled_at = now + SETTLE_SECONDS
        self._members[node.name] = node.incarnation
        self._heard(node, now)

    async def beat(self, node: Node) -> Heard:
        """See `Fleet.beat`."""
        self._held(node)
        now = self._clock()
        self._heard(node, now)
        order = self._orders.get(node.name)
        if order and order.id == node.obeyed:
            del self._orders[node.name]
            order = None
        return Heard(order, len(self._by_node[node.name]), self._silent(now))

    async def leave(self, node: Node, patience: float) -> None:
        """See `Fleet.leave`."""
        self._held(node)
        if patience:
            self._beats[node.name] = self._clock() + patience
            return
        del self._members[node.name], self._nodes[node.name], self._beats[node.name]
        self._orders.pop(node.name, None)

    async def nodes(self) -> list[Node]:
        """See `Fleet.nodes`."""
        return told(self._nodes.values(), self._clock())

    async def node(self, name: str) -> Node | None:
        """See `Fleet.node`."""
        return self._nodes.get(name)

    async def order(self, name: str, order: Order) -> None:
        """See `Fleet.order`."""
        self._orders[name] = order

    async def claim(self, node: Node, claim: Claim) -> Sandbox | None:
        """See `Fleet.claim`."""
        self._held(node)
        now, owner = self._clock(), claim.sandbox.owner
        if now < self._settled_at:
            raise FleetUnavailable("it lost everything and is being told again")
        if (made := self._made(claim, now)) is not None:
            return made
        held_quota(owner, len(self._by_owner[owner]), claim.quota)
        self._write(claim.sandbox)
        if claim.request_id:
            self._requests[owner, claim.request_id] = claim.digest, claim.sandbox.name, now
        return None

    async def publish(self, node: Node, sandboxes: Sequence[Sandbox]) -> set[str]:
        """See `Fleet.publish`."""
        self._held(node)
        over = {name for name in (s.name for s in sandboxes) if (here := self._sandboxes.get(name)) and here.ended_at}
        for sandbox in sandboxes:
            if sandbox.name not in over:
                self._write(sandbox)
        return {sandbox.name for sandbox in sandboxes if sandbox.name in over and not sandbox.ended_at}

    async def find(self, names: Sequence[str]) -> Mapping[str, Sandbox]:
        """See `Fleet.find`."""
        return {name: self._sandboxes[name] for name in names if name in self._sandboxes}

    async def page(self, agent: str, after: str, size: int) -> list[Sandbox]:
        """See `Fleet.page`."""
        rest = islice(self._listing, bisect_right(self._listing, after), None)
        found = (self._sandboxes[key.rpartition(":")[2]] for key in rest)
        return list(islice((sandbox for sandbox in found if agent in ("", sandbox.agent)), size))

    async def placed(self, name: str) -> list[Sandbox]:
        """See `Fleet.placed`."""
        return [self._sandboxes[sandbox] for sandbox in self._by_node[name]]

    async def lose(self, name: str, beat: str, sandboxes: Sequence[Sandbox]) -> set[str]:
        """See `Fleet.lose`."""
        if repr(self._beats.get(name)) != beat:
            return set()
        self._members.pop(name, None)
        self._nodes[name] = buried(self._nodes[name])
        gone = [sandbox for sandbox in sandboxes if sandbox.name in self._by_node[name]]
        for sandbox in gone:
            self._write(sandbox)
        if not self._by_node[name]:
            del self._beats[name]
        return {sandbox.name for sandbox in gone}

    async def prune(self, ended_before: float) -> None:
        """See `Fleet.prune`."""
        for sandbox in [s for s in self._sandboxes.values() if 0 < s.ended_at < ended_before]:
            del self._sandboxes[sandbox.name]
            del self._listing[bisect_left(self._listing, listing_key(sandbox))]

    async def close(self) -> None:
        """See `Fleet.close`."""

    def _heard(self, node: Node, now: float) -> None:
        self._beats.pop(node.name, None)  # so that beats stay in their order
        self._nodes[node.name], self._beats[node.name] = node, now

    def _silent(self, now: float) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, at in self._beats.items():
            if now - SILENT_SECONDS < at <= now:
                break
            if at <= now:  # else it left, and is waited for
                found[name] = repr(at)
        return found

    def _held(self, node: Node) -> None:
        if self._members.get(node.name) != node.incarnation:
            raise NotMember(node.name)

    def _made(self, claim: Claim, now: float) -> Sandbox | None:
        """What the request has made, unless that is given up now or never started."""
        digest, name, at = self._requests.get((claim.sandbox.owner, claim.request_id), (claim.digest, "", now))
        if now - at > REQUEST_SECONDS:
            return None
        if digest != claim.digest:
            raise RequestIdReused(claim.request_id)
        made = self._sandboxes.get(name)
        if made and made.name == claim.instead_of and made.state is State.STARTING:
            self._write(given_up(made, now))
            return None
        return None if made is None or made.reason is Reason.START_FAILED else made

    def _write(self, sandbox: Sandbox) -> None:
        if sandbox.name not in self._sandboxes:
            insort(self._listing, listing_key(sandbox))
        self._sandboxes[sandbox.name] = sandbox
        change = set.discard if sandbox.ended_at else set.add
        change(self._by_owner[sandbox.owner], sandbox.name)
        change(self._by_node[sandbox.node], sandbox.name)
