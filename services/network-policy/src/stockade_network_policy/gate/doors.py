"""Opens, changes, cuts and closes doors, and returns only once the sockets say so."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from stockade_network_policy.gate import sockets
from stockade_network_policy.gate.announcer import Announcer
from stockade_network_policy.gate.door import Door, NetworkMode
from stockade_network_policy.gate.errors import (
    DoorExists,
    DoorMisplaced,
    DoorNotFound,
    DoorRefused,
    GateUnavailable,
)
from stockade_network_policy.gate.ledger import Ledger
from stockade_network_policy.gate.settings import GateSettings

PATIENCE_S = 3.0
"""How long Envoy may take to open or close a door."""

_STRIPES = 256
"""Locks that the sandboxes share by their hash, so that their number is bounded."""


class Doors:
    """Every door of this gate, by sandbox. One change at a time for each sandbox."""

    def __init__(self, settings: GateSettings, announcer: Announcer, ledger: Ledger) -> None:
        self._settings = settings
        self._announcer = announcer
        self._ledger = ledger
        self._locks = [asyncio.Lock() for _ in range(_STRIPES)]
        self._doors = {door.sandbox: door for door in ledger.load()}
        for door in self._doors.values():
            announcer.want(door.listeners(settings))

    def get(self, sandbox: str) -> Door | None:
        """The sandbox's door."""
        return self._doors.get(sandbox)

    def all(self) -> list[Door]:
        """Every door, by sandbox."""
        return [self._doors[sandbox] for sandbox in sorted(self._doors)]

    def ready(self) -> int:
        """How many doors Envoy confirmed, all their sockets."""
        return sum(all(map(self._announcer.is_settled, door.sockets())) for door in self._doors.values())

    async def open(self, door: Door) -> Door:
        """Open a door and return once its sockets accept; the same door again is no error.

        Raises: DoorExists, DoorMisplaced, DoorRefused, GateUnavailable. Nothing is open then that was not before.
        """
        self._check_place(door)
        async with self._lock(door.sandbox):
            before = standing = self._doors.get(door.sandbox)
            if standing is not None and not standing.same_as(door):
                raise DoorExists(door.sandbox)
            if standing is None:
                standing = dataclasses.replace(door, created_ns=time.time_ns(), cuts=0)
                self._ledger.put(standing)
                self._doors[door.sandbox] = standing
            try:
                await self._announce(standing)
            except (DoorRefused, GateUnavailable):
                if before is None:
                    self._forget(standing)
                raise
            return standing

    async def update(self, sandbox: str, change: Callable[[Door], Door]) -> Door:
        """Replace a door by what `change` makes of it; its connections end, and what is still allowed connects again.

        Raises: DoorNotFound, DoorMisplaced, DoorRefused, GateUnavailable.
        """
        async with self._lock(sandbox):
            before = self._doors.get(sandbox)
            if before is None:
                raise DoorNotFound(sandbox)
            after = self._replace(before, change(before))
            gone = {name: path for name, path in before.sockets().items() if name not in after.sockets()}
            self._announcer.want(remove=gone)
            await self._announce(after)
            await self._settle_removal(gone)
            return after

    async def cut(self, sandboxes: Iterable[str]) -> list[str]:
        """End the connections of these sandboxes' doors within a second; returns those that have one.

        While Envoy is away there is nothing to wait for: it is told when it comes back. Raises: GateUnavailable.
        """
        found = [sandbox for sandbox in dict.fromkeys(sandboxes) if sandbox in self._doors]
        if self._announcer.connection is None:
            for sandbox in found:
                door = self._doors[sandbox]
                self._announcer.want(put=self._replace(door, door).listeners(self._settings))
        else:
            await asyncio.gather(*(self.update(sandbox, lambda door: door) for sandbox in found))
        return found

    async def close(self, sandbox: str) -> None:
        """Take a door and return once its sockets refuse and their files are gone. Raises: GateUnavailable."""
        async with self._lock(sandbox):
            door = self._doors.get(sandbox)
            if door is None:
                return
            self._forget(door)
            if self._announcer.connection is None:
                sockets.clear(*door.sockets().values())
            else:
                await self._settle_removal(door.sockets())

    def _lock(self, sandbox: str) -> asyncio.Lock:
        return self._locks[hash(sandbox) % _STRIPES]

    def _replace(self, before: Door, wanted: Door) -> Door:
        after = dataclasses.replace(wanted, cuts=before.cuts + 1)
        self._check_place(after)
        self._ledger.put(after)
        self._doors[after.sandbox] = after
        return after

    def _forget(self, door: Door) -> None:
        self._ledger.remove(door.sandbox)
        self._doors.pop(door.sandbox, None)
        self._announcer.want(remove=door.sockets())

    async def _announce(self, door: Door) -> None:
        self._announcer.want(put=door.listeners(self._settings))
        await self._announcer.settled(door.sockets(), PATIENCE_S)
        await _until(lambda: all(sockets.accepts(path) for path in door.sockets().values()))

    async def _settle_removal(self, found: dict[str, Path]) -> None:
        await self._announcer.settled(found, PATIENCE_S)
        await _until(lambda: not any(sockets.accepts(path) for path in found.values()))
        sockets.clear(*found.values())

    def _check_place(self, door: Door) -> None:
        if door.network_mode is NetworkMode.WHITELISTED and not door.egress_socket:
            raise DoorMisplaced("egress_socket is empty: a WHITELISTED sandbox needs one")
        root = self._settings.run_dir / "sb"
        for path in door.sockets().values():
            if not path.is_relative_to(root) or ".." in path.parts:
                raise DoorMisplaced(f"{path} is not under {root}, where the sandboxes' sockets are")


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise GateUnavailable(PATIENCE_S)
        await asyncio.sleep(0.0005)
