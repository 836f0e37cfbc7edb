"""What a node does for the fleet every second: it beats, finds out who is dead, and removes what was given up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from stockade_rpckit.logs import get_logger

from stockade_sandbox.domain import placement
from stockade_sandbox.domain.errors import NodeNameTaken, SandboxError
from stockade_sandbox.domain.node import Order
from stockade_sandbox.domain.placement import BEAT_SECONDS, View
from stockade_sandbox.domain.sandbox import Sandbox
from stockade_sandbox.drains import Drains
from stockade_sandbox.lifecycle import Lifecycle
from stockade_sandbox.membership import Membership
from stockade_sandbox.this_node import ThisNode

log = get_logger(__name__)

PRUNE_SECONDS = 30.0
DIFFERING_BEATS = 3
"""So often in a row must the registry count other than this node until it is told everything again."""
_GIVEN_UP = "it was given up while its node was cut off"


class Rounds:
    """Its methods belong to one event loop."""

    def __init__(
        self,
        *,
        membership: Membership,
        this_node: ThisNode,
        lifecycle: Lifecycle,
        drains: Drains,
        ended: Callable[[Sandbox], Awaitable[None]],
        keep_ended: float,
    ) -> None:
        """`ended` records the end of another node's sandbox; `keep_ended`: seconds for which one is still told of."""
        self._membership, self._this_node, self._lifecycle = membership, this_node, lifecycle
        self._drains, self._ended, self._keep_ended = drains, ended, keep_ended
        self._view = View()
        self._pruned_at = 0.0
        self._differing = 0
        self._obeying: tuple[str, asyncio.Task[None]] | None = None
        self._due = asyncio.Event()

    async def run(self) -> None:
        """For ever. Raises NodeNameTaken: such a node must not go on."""
        while True:
            began = time.monotonic()
            try:
                await self._round()
            except NodeNameTaken:
                raise
            except SandboxError as error:
                log.warning("a round of the fleet waits", extra={"error": str(error)})
            except Exception:
                log.exception("a round of the fleet failed")
            await self._rest(BEAT_SECONDS - (time.monotonic() - began))

    async def _rest(self, seconds: float) -> None:
        """Until the next beat is due, or something is to be told at once."""
        self._due.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._due.wait(), max(0.0, seconds))

    async def _round(self) -> None:
        heard = await self._membership.beat(self._this_node.describe(), self._lifecycle.sandboxes.all())
        if heard.order:
            self._obey(heard.order)
        self._compare(heard.placed)
        await self._drop()
        silent = {name: beat for name, beat in heard.silent.items() if name != self._this_node.name}
        self._view = placement.seen(self._view, silent, time.monotonic())
        for name, beat in placement.dead(self._view).items():
            await self._declare_dead(name, beat)
        if time.monotonic() - self._pruned_at > PRUNE_SECONDS:
            self._pruned_at = time.monotonic()
            await self._membership.fleet.prune(time.time() - self._keep_ended)

    def _compare(self, placed: int) -> None:
        """A fail-over of the registry may lose the last that it was told."""
        same = placed == len(self._lifecycle.sandboxes.living())
        self._differing = 0 if same else self._differing + 1
        if self._differing >= DIFFERING_BEATS:
            self._differing = 0
            self._membership.rejoin()

    async def _declare_dead(self, name: str, beat: str) -> None:
        """All nodes may do so at once: each sandbox is lost, and recorded, once."""
        fleet = self._membership.fleet
        over = {s.name: placement.lost(s, time.time()) for s in await fleet.placed(name)}
        gone = await fleet.lose(name, beat, list(over.values()))
        log.warning("a node is dead", extra={"node": name, "sandboxes": len(gone)})
        for sandbox in gone:
            await self._ended(over[sandbox])

    async def _drop(self) -> None:
        """Remove what others have been told is over. What fails is tried again."""
        for name, shared in list(self._membership.given_up.items()):
            known = name in {sandbox.name for sandbox in self._lifecycle.sandboxes.living()}
            if known and not self._lifecycle.changing(name):
                await self._lifecycle.expire(name, shared.reason, _GIVEN_UP)
            if not self._lifecycle.changing(name):
                self._membership.given_up.pop(name, None)

    def _obey(self, order: Order) -> None:
        """Begin to carry it out, unless that is under way."""
        if self._obeying and self._obeying[0] == order.id and not self._obeying[1].done():
            return
        self._obeying = order.id, asyncio.create_task(self._carry_out(order))

    async def _carry_out(self, order: Order) -> None:
        try:
            await self._drains.obey(order)
            self._this_node.obeyed = order.id
            self._due.set()
        except Exception:
            log.exception("an order could not be carried out; it is tried again", extra={"order": order.command})
