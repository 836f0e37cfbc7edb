"""A node: the service's own membership and placement code over what it would have made."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from stockade_sandbox.domain import placement
from stockade_sandbox.domain.errors import FleetUnavailable, NodeFull
from stockade_sandbox.domain.node import Node
from stockade_sandbox.domain.placement import BEAT_SECONDS, View
from stockade_sandbox.domain.ports import Claim
from stockade_sandbox.domain.sandbox import Limits, Reason, Sandbox, State, Tier, over
from stockade_sandbox.membership import Membership

from load.simulation.clock import Clock, finished
from load.simulation.redis import Remote

QUOTA = 1 << 30  # quotas are not what is looked at
_LIMITS = Limits()


def _sandbox(name: str, node: str, state: State, order: float) -> Sandbox:
    return Sandbox(
        name=name,
        uid=0,
        state=state,
        image="",
        limits=_LIMITS,
        tier=Tier.RUNC,
        cpus=(),
        node=node,
        owner="operator/ada",
        created_at=order,
    )


class Host:
    """One node of the fleet, with a round a second as the service has it."""

    def __init__(
        self, number: int, clock: Clock, fleet: Remote, most: int, lost: Callable[[str, str, int], None]
    ) -> None:
        """`lost` is told who declared which node dead, and how many sandboxes were lost with it."""
        self.name = f"node-{number}"
        self.living: dict[str, Sandbox] = {}
        self.dead = False
        self._clock, self._fleet, self._most, self._lost = clock, fleet, most, lost
        self._node = Node(name=self.name, incarnation="1", place=self.name, host=self.name)
        self.membership = Membership(fleet, self._node, alone=False)  # type: ignore[arg-type]
        self._view = View()
        self.round()

    def round(self) -> None:
        """As `stockade_sandbox.rounds` has it: beat, see who is silent, declare the dead, drop what was given up."""
        if self.dead:
            return
        with suppress(FleetUnavailable):
            heard = finished(self.membership.beat(self._node, self.living.values()))
            silent = {name: beat for name, beat in heard.silent.items() if name != self.name}
            self._view = placement.seen(self._view, silent, self._clock.now)
            for name, beat in placement.dead(self._view).items():
                self._declare_dead(name, beat)
        self._clock.after(BEAT_SECONDS, self.round)

    @property
    def has_room(self) -> bool:
        """What its health says of creates."""
        return self.membership.counts and placement.has_room(False, len(self.living), self._most)

    def admit(self, name: str, order: float) -> Sandbox:
        """Take one more sandbox in. NodeFull, FleetUnavailable: another node may."""
        if self.dead:
            raise NodeFull(self.name, "host", "it does not answer")
        placement.held_node(self.name, cordoned=False, living=len(self.living), limit=self._most)
        sandbox = _sandbox(name, self.name, State.STARTING, order)
        finished(self.membership.claim(Claim(sandbox=sandbox, quota=QUOTA), living=0))
        self.living[name] = sandbox
        return sandbox

    def started(self, name: str) -> None:
        """It runs."""
        if name in self.living and not self.dead:
            self._tell(_sandbox(name, self.name, State.RUNNING, self.living[name].created_at))

    def end(self, name: str) -> None:
        """It is deleted."""
        sandbox = self.living.pop(name)
        self._tell(over(sandbox, Reason.DELETED, "", self._clock.now))

    def come_back(self) -> int:
        """Serve again with what was there before; how many of these were given up meanwhile and are removed."""
        self.dead, self._view = False, View()
        self._node = replace(self._node, incarnation="2")
        self.membership = Membership(self._fleet, self._node, alone=False)  # type: ignore[arg-type]
        self.round()
        for name in self.membership.given_up:
            del self.living[name]
        return len(self.membership.given_up)

    def _tell(self, sandbox: Sandbox) -> None:
        if sandbox.living:
            self.living[sandbox.name] = sandbox
        finished(self.membership.tell(sandbox))

    def _declare_dead(self, name: str, beat: str) -> None:
        placed = finished(self._fleet.placed(name))  # type: ignore[arg-type]
        over = [placement.lost(sandbox, self._clock.now) for sandbox in placed]
        gone = finished(self._fleet.lose(name, beat, over))  # type: ignore[arg-type]
        self._lost(self.name, name, len(gone))
