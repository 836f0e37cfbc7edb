"""All sandboxes of the fleet: this node's as they are, others' as their nodes told of them."""

from collections.abc import Callable

from stockade_sandbox.domain.errors import SandboxElsewhere, SandboxNotFound, SandboxNotRunning
from stockade_sandbox.domain.ports import Fleet
from stockade_sandbox.domain.sandbox import Filter, Sandbox, listing_key
from stockade_sandbox.sandboxes import Sandboxes

SIZE = 500
"""Sandboxes asked for at once."""

Permits = Callable[[Sandbox], bool]


class Directory:
    """Reads only."""

    def __init__(self, sandboxes: Sandboxes, fleet: Fleet, node: str) -> None:
        self._sandboxes, self._fleet, self._node = sandboxes, fleet, node

    async def get(self, name: str) -> Sandbox:
        """The sandbox of that name, on whichever node. Raises SandboxNotFound, FleetUnavailable."""
        try:
            return self._sandboxes.get(name)
        except SandboxNotFound:
            found = (await self._fleet.find([name])).get(name)
            if found is None or (found.node == self._node and found.living):
                raise
            return found

    async def page(self, wanted: Filter, permits: Permits, after: str, size: int) -> list[Sandbox]:
        """At most so many of those that `wanted` means, after the `listing_key`, the newest first.

        Raises FleetUnavailable, unless this node's own are wanted.
        """
        here = [each for each in self._sandboxes.matching(wanted) if listing_key(each) > after and permits(each)]
        if wanted.node == self._node:
            return here[:size]
        there = await self._elsewhere(wanted, permits, after, size)
        return sorted((*here[:size], *there), key=listing_key)[:size]

    async def whereabouts(self, name: str, permits: Permits) -> Exception:
        """Why a call that names a sandbox which this node does not have is refused."""
        try:
            found = await self.get(name)
        except SandboxNotFound as error:
            return error
        if not permits(found):
            return SandboxNotFound(name)
        if found.ended_at:
            return SandboxNotRunning(name, found.state, found.message)
        return SandboxElsewhere(name, found.node)

    async def _elsewhere(self, wanted: Filter, permits: Permits, after: str, size: int) -> list[Sandbox]:
        found: list[Sandbox] = []
        while len(found) < size and (page := await self._fleet.page(wanted.agent, after, SIZE)):
            found += [s for s in page if s.node != self._node and wanted.matches(s) and permits(s)]
            if len(page) < SIZE:
                break
            after = listing_key(page[-1])
        return found[:size]
