"""All lines to all supervisors of this node."""

from pathlib import Path

from stockade_sandbox.supervision.link import Health, Keeper


class Supervision:
    """Listens for supervisors and runs execs on them. One for the service; its methods belong to one event loop."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def open(self, sandbox: str, directory: Path, *, doors: bool, tier: str = "RUNC") -> None:
        """Creates `directory`/control.sock (mode 0666) and listens; a stale one is replaced.

        `doors`: whether the supervisor serves the HTTP proxy, the DNS stub and the transparent doors (WHITELISTED).
        Raises OSError. Opening an open sandbox is an error.
        """
        raise NotImplementedError

    def expect(self, sandbox: str, init_pid: int) -> None:
        """Names the one process, by its pid on the host, whose connection is taken as the supervisor's."""
        raise NotImplementedError

    async def attached(self, sandbox: str, timeout_s: float) -> None:
        """Returns once the supervisor is on the line; raises SupervisorAbsent after `timeout_s` seconds."""
        raise NotImplementedError

    async def set_doors(self, sandbox: str, doors: bool) -> None:
        """Opens or closes the doors of a running sandbox; returns once the supervisor has done so."""
        raise NotImplementedError

    def health(self, sandbox: str) -> Health:
        """How its supervisor does. Raises KeyError for a sandbox that is not open."""
        raise NotImplementedError

    async def close(self, sandbox: str, why: str = "the sandbox was deleted") -> None:
        """Ends what runs as sandbox_lost, stops listening, removes the socket. Closing a closed one does nothing."""
        raise NotImplementedError

    async def shut_down(self) -> None:
        """Stops listening everywhere and lets go of every line, so that supervisors redial the next service."""
        raise NotImplementedError
