"""This node as one of the fleet: it joins, claims, and tells how its sandboxes are.

The node's own registry is the truth about its sandboxes; the fleet's has what others may know of them. While that one
is away nothing is told, and on joining again everything is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from stockade_rpckit.logs import get_logger

from stockade_sandbox.domain import placement
from stockade_sandbox.domain.errors import FleetUnavailable, NotMember
from stockade_sandbox.domain.node import Heard, Node
from stockade_sandbox.domain.ports import Claim, Fleet
from stockade_sandbox.domain.sandbox import Sandbox, State

log = get_logger(__name__)

Placed = Callable[[], Awaitable[None]]

LOOK_SECONDS = 0.1
QUIET_SECONDS = 1.5
"""Another node that has not beaten for so long while a request waits for it, has its request taken over."""
START_SECONDS = 30.0
"""How long a request waits for what another node makes of it."""


class Membership:
    """Its methods belong to one event loop."""

    def __init__(self, fleet: Fleet, node: Node, alone: bool, placed: Placed | None = None) -> None:
        """`alone`: whether claims go on, counted by this node alone, while the fleet's registry is away.

        `placed` is called where something that is done here has claimed its place.
        """
        self.fleet, self.node, self._alone, self._placed = fleet, node, alone, placed
        self._joined = self._joined_before = False
        self.given_up: dict[str, Sandbox] = {}
        """Sandboxes of this node that are over for the fleet, as it has them: to be removed."""

    @property
    def joined(self) -> bool:
        """Whether the fleet has this node as one of it."""
        return self._joined

    @property
    def counts(self) -> bool:
        """Whether claims can be counted: by the fleet, or by this node alone."""
        return self._joined or self._alone

    async def join(self, local: Iterable[Sandbox]) -> None:
        """Join, learn what was given up, and tell of all that this node has.

        Raises FleetUnavailable, NodeNameTaken, FleetUnsuitable.
        """
        await self.fleet.join(self.node, self._joined_before)
        mine = [placement.published(sandbox, self.node.name) for sandbox in local if sandbox.state is not State.WARM]
        found = await self.fleet.find([sandbox.name for sandbox in mine if sandbox.living])
        ended = {name: sandbox for name, sandbox in found.items() if sandbox.ended_at}
        back = placement.returned(mine, await self.fleet.placed(self.node.name), ended)
        self.given_up |= {sandbox.name: ended[sandbox.name] for sandbox in back.drop}
        gone = [placement.lost(sandbox, time.time()) for sandbox in back.gone]
        await self.fleet.publish(self.node, [s for s in mine if s.name not in self.given_up] + gone)
        self._joined = self._joined_before = True
        log.info("joined the fleet", extra={"node": self.node.name, "dropped": len(back.drop), "gone": len(gone)})

    async def beat(self, node: Node, local: Iterable[Sandbox]) -> Heard:
        """Be alive as `node` says, joining where that is lost. Raises what `join` raises."""
        self.node = node
        try:
            if not self._joined:
                await self.join(local)
            return await self.fleet.beat(node)
        except (FleetUnavailable, NotMember) as error:
            self._apart(error)
            raise

    async def claim(self, claim: Claim, living: int) -> Sandbox | None:
        """Count and place a sandbox that is about to be made, or the one that the same request made elsewhere.

        `living`: how many its owner has here. Raises QuotaExceeded, RequestIdReused, FleetUnavailable.
        """
        claim = replace(claim, sandbox=placement.published(claim.sandbox, self.node.name))
        made = await self._counted(claim, living)
        if made is None and self._placed:
            await self._placed()
        return made

    async def _counted(self, claim: Claim, living: int) -> Sandbox | None:
        try:
            if not self._joined:
                raise FleetUnavailable("this node has not joined yet")
            return await self._claimed(claim)
        except NotMember as error:
            self._apart(error)
            raise FleetUnavailable("this node is joining again") from error
        except FleetUnavailable:
            if not self._alone:
                raise
            placement.held_quota(claim.sandbox.owner, living, claim.quota)
            return None

    async def tell(self, sandbox: Sandbox) -> None:
        """Tell how one is now; where that cannot be, all is told on joining again."""
        if not self._joined or sandbox.state in (State.WARM, State.STARTING):  # its claim told of that
            return
        try:
            told = placement.published(sandbox, self.node.name)
            if await self.fleet.publish(self.node, [told]):
                self.given_up |= await self.fleet.find([sandbox.name])
        except (FleetUnavailable, NotMember) as error:
            self._apart(error)

    async def leave(self, patience: float) -> None:
        """Stop in order. A registry that is away finds out by itself."""
        try:
            await self.fleet.leave(self.node, patience)
        except (FleetUnavailable, NotMember) as error:
            log.warning("the fleet was not told that this node stops", extra={"error": str(error)})
        await self.fleet.close()

    async def _claimed(self, claim: Claim) -> Sandbox | None:
        """As `claim`; what another node has begun to make is waited for, or taken over where that node is quiet."""
        deadline = time.monotonic() + START_SECONDS
        while (made := await self.fleet.claim(self.node, claim)) is not None and made.state is State.STARTING:
            if time.monotonic() > deadline:
                raise FleetUnavailable(f"node {made.node} has not made the sandbox of this request yet")
            if not await self._started(made):
                claim = replace(claim, instead_of=made.name)
        return made

    async def _started(self, made: Sandbox) -> bool:
        """Wait until another node's sandbox starts no longer; False once that node has been quiet for too long."""
        heard_at, since = None, time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            now = (await self.fleet.find([made.name])).get(made.name)
            if now is None or now.state is not State.STARTING:
                return True
            node = await self.fleet.node(made.node)
            if node and node.heard_at != heard_at:
                heard_at, since = node.heard_at, time.monotonic()
        return False

    def rejoin(self) -> None:
        """Tell of everything again: what the registry has of this node is not what it was told."""
        log.warning("the registry has other sandboxes of this node than it was told", extra={"node": self.node.name})
        self._joined = False

    def _apart(self, error: Exception) -> None:
        if self._joined:
            log.warning("this node is apart from the fleet", extra={"error": str(error)})
        self._joined = False
