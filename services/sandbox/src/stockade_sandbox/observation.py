"""How a sandbox is: what it has used, how its supervisor does, what its init wrote."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from stockade_rpckit import threads

from stockade_sandbox import accounts
from stockade_sandbox.domain.errors import GateUnavailable, SandboxNotRunning
from stockade_sandbox.domain.ports import Disks, Engine, Gate, LogLine
from stockade_sandbox.domain.sandbox import Sandbox, State
from stockade_sandbox.domain.usage import Network, Usage
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.supervision import Supervision

LATE_SECONDS = 25.0
"""A heartbeat that has gone unanswered for longer is late; the next one was due ten seconds before."""


class HealthState(StrEnum):
    """Names as in the contract."""

    HEALTHY = "HEALTHY"
    UNRESPONSIVE = "UNRESPONSIVE"
    NOT_RUNNING = "NOT_RUNNING"


@dataclass(frozen=True, slots=True)
class Health:
    """How a sandbox is. `heard_at` is seconds since the epoch, 0 for never."""

    state: HealthState
    heard_at: float
    message: str


class Observation:
    """Reads; changes nothing."""

    def __init__(
        self, sandboxes: Sandboxes, engine: Engine, disks: Disks, gate: Gate, supervision: Supervision
    ) -> None:
        self._sandboxes, self._engine, self._disks = sandboxes, engine, disks
        self._gate, self._supervision = gate, supervision

    async def usage(self, name: str) -> Usage:
        """What it has used. Raises SandboxNotFound, SandboxNotRunning."""
        sandbox = self._present(name)
        disk, network = await asyncio.gather(self._disks.usage(name), self._network(name))
        try:
            cpu, memory, pids = await threads.run(accounts.read, sandbox.init_pid)
        except (FileNotFoundError, ProcessLookupError):
            raise SandboxNotRunning(name, sandbox.state, "it is just ending") from None
        return Usage(time.time(), cpu, memory, pids, disk, network)

    async def _network(self, name: str) -> Network | None:
        with suppress(GateUnavailable):
            return await self._gate.usage(name)
        return None

    def health(self, name: str) -> Health:
        """How its supervisor does, from its heartbeat. Raises SandboxNotFound."""
        sandbox = self._sandboxes.get(name)
        if sandbox.state is not State.RUNNING:
            return Health(HealthState.NOT_RUNNING, 0.0, f"it is {sandbox.state}: {sandbox.message}".rstrip(": "))
        try:
            found = self._supervision.health(name)
        except KeyError:
            return Health(HealthState.UNRESPONSIVE, 0.0, "its supervisor has not dialled yet")
        if found.attached and found.silent_s < LATE_SECONDS:
            return Health(HealthState.HEALTHY, found.heard_at, "")
        age = time.time() - found.heard_at
        return Health(HealthState.UNRESPONSIVE, found.heard_at, f"its supervisor was last heard {age:.0f} s ago")

    def active_at(self, sandbox: Sandbox) -> float:
        """When something last happened in it, in seconds since the epoch."""
        try:
            return max(sandbox.created_at, self._supervision.health(sandbox.name).active_at)
        except KeyError:
            return sandbox.ended_at or sandbox.created_at

    def attended(self, name: str) -> bool:
        """Whether this service listens for its supervisor."""
        try:
            self._supervision.health(name)
        except KeyError:
            return False
        return True

    def busy(self, name: str) -> bool:
        """Whether a command or file operation is under way in it."""
        try:
            return self._supervision.health(name).busy
        except KeyError:
            return False

    def logs(self, name: str, tail: int, follow: bool) -> AsyncGenerator[LogLine, None]:
        """What its init wrote. Raises SandboxNotFound, SandboxNotRunning, EngineUnavailable."""
        self._present(name)
        return self._engine.logs(name, tail, follow)

    def _present(self, name: str) -> Sandbox:
        sandbox = self._sandboxes.get(name)
        if sandbox.state not in (State.RUNNING, State.PAUSED, State.ENDING):
            raise SandboxNotRunning(name, sandbox.state, sandbox.message)
        return sandbox
