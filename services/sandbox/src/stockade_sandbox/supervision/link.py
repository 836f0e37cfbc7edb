"""The line to one supervisor."""

from dataclasses import dataclass
from typing import Protocol


class SupervisorAbsent(Exception):
    """The sandbox's supervisor is not on the line, and did not come within the time given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What the engine knows of a sandbox's container."""

    running: bool
    out_of_memory: bool = False
    """Whether the kernel killed its PID 1 since the memory limit was reached."""
    detail: str = ""


class Keeper(Protocol):
    """What supervision asks of the sandbox's lifecycle."""

    async def end(self, sandbox: str, why: str) -> None:
        """Ends the sandbox: its supervisor spoke out of turn, or no longer answers. Must not raise."""

    async def fate(self, sandbox: str) -> Fate:
        """What became of its container; an unknown one does not run. Must not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a sandbox's supervisor does, from its heartbeat."""

    attached: bool
    """Whether it is on the line now."""
    heard_at: float
    """When it was last heard, in seconds of `time.time()`; 0 if never."""
    round_trip_s: float
    """How long its last heartbeat took, in seconds."""
    running_execs: int
    active_at: float
    """When an exec or file operation last began or ended, or an attached caller last spoke; for idle timeouts."""
