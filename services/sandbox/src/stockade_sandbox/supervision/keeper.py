"""What supervision asks of the sandboxes' lifecycle."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What the engine knows of a sandbox's container."""

    running: bool
    paused: bool = False
    """Whether it runs and is frozen: its supervisor is silent as it was told."""
    out_of_memory: bool = False
    """Whether the kernel killed its PID 1 since the memory limit was reached."""
    detail: str = ""


class Keeper(Protocol):
    """The sandboxes' lifecycle, as supervision sees it."""

    async def end(self, sandbox: str, why: str) -> None:
        """Ends the sandbox: its supervisor spoke out of turn, or no longer answers. Must not raise."""

    async def fate(self, sandbox: str) -> Fate:
        """What became of its container; an unknown one does not run. Must not raise."""
