"""A child that waits in its cgroup for an exec that nobody has asked for yet, so that the next one need not wait.

It is 1 MiB of an idle sandbox's memory, and one of its processes.
"""

import asyncio
from dataclasses import dataclass, field

from stockade_sandbox.cgroups import ExecCgroup
from stockade_sandbox.supervision.placement import Placement

Place = tuple[int, ExecCgroup]
"""A waiting child: its pid, as the sandbox counts, and the cgroup that it is in."""


@dataclass(slots=True)
class Prepared:
    """Number and id of the exec to come."""

    number: int
    exec_id: str
    place: "asyncio.Future[Place | None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Where its child waits, once it does; None where there is none, so that one has to be forked for the exec."""

    def settle(self, place: Place | None) -> None:
        """Whoever waits for its place learns of it."""
        if not self.place.done():
            self.place.set_result(place)


class Preparation:
    """At most one such child of a sandbox that no exec has taken, where there is a cgroup for it to wait in."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._free: Prepared | None = None
        self._coming: dict[int, Prepared] = {}  # the supervisor has still to say what became of them; taken ones, too

    @property
    def wanted(self) -> bool:
        """Whether one should be asked for."""
        return self._free is None and self._placement.possible

    def begin(self, number: int, exec_id: str) -> None:
        """One has been asked for."""
        self._free = self._coming[number] = Prepared(number, exec_id)

    def take(self) -> Prepared | None:
        """The one that waits, or is about to, for an exec that is asked for now."""
        prepared, self._free = self._free, None
        return prepared

    def coming(self, number: int) -> Prepared | None:
        """The one of that number, the first time that the supervisor speaks of it."""
        return self._coming.pop(number, None)

    async def place(self, prepared: Prepared, pid: int) -> None:
        """Puts its child, which waits, into its cgroup."""
        try:
            prepared.settle((pid, await self._placement.prepare(prepared.exec_id, pid)))
        except OSError:
            prepared.settle(None)

    def forget(self) -> int | None:
        """None is waited for any more; the number of the one that no exec has taken."""
        for prepared in self._coming.values():
            prepared.settle(None)
        self._coming.clear()
        free = self.take()
        if free is None:
            return None
        if free.place.done() and (place := free.place.result()):
            self._placement.remove(place[1])
        return free.number
