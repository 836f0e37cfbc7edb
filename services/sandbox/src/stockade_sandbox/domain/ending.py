"""How an exec ended: one reason, concluded from what was seen and never guessed."""

import signal
from dataclasses import dataclass, field
from enum import StrEnum

from stockade_sandbox.domain.execution import Usage


class Reason(StrEnum):
    """Why an exec ended."""

    EXITED = "EXITED"
    SIGNALLED = "SIGNALLED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    PIDS_LIMIT = "PIDS_LIMIT"
    DISK_FULL = "DISK_FULL"
    OUTPUT_LIMIT = "OUTPUT_LIMIT"
    CANCELLED = "CANCELLED"
    SANDBOX_LOST = "SANDBOX_LOST"


class Stop(StrEnum):
    """Why the host killed a tree."""

    TIMEOUT = "TIMEOUT"
    OUTPUT_LIMIT = "OUTPUT_LIMIT"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was seen of an exec's end."""

    status: int | None = None
    """The main process's wait status; None: nobody saw it end."""
    stop: Stop | None = None
    """Why the host killed its tree, if it did."""
    oom_kills: int = 0
    """Of its processes, those the kernel killed since memory ran out."""
    pids_refused: int = 0
    """Forks the kernel refused it since the pids limit was reached."""
    full_disks: tuple[str, ...] = ()
    """Writable places that had no room left when it ended."""
    told_of_full_disk: bool = False
    """Whether the last it wrote to its standard error is the kernel's message for ENOSPC or EDQUOT."""
    init_out_of_memory: bool = False
    """Whether the kernel killed the sandbox's PID 1 since memory ran out."""
    lost: str = ""
    """Why the line was lost, where `status` is None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an exec ended. `exit_code` and `signal` are set only where the main process really ended so."""

    reason: Reason
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    output_partial: bool = False
    output_bytes: int = 0
    usage: Usage = field(default_factory=Usage)
    end_ns: int = 0

    @property
    def seccomp_killed(self) -> bool:
        """Whether the seccomp profile killed it for a system call."""
        return self.signal == signal.SIGSYS


def conclude(seen: Observed) -> tuple[Reason, str]:
    """The reason and one line for people. The first that holds:

    1. the output limit was passed: OUTPUT_LIMIT, however the program ended after that;
    2. nobody saw it end: the stop if its tree was killed for one, OUT_OF_MEMORY if memory's end took PID 1, else
       SANDBOX_LOST;
    3. its tree was killed for a timeout or a cancellation and it did not exit by itself first: that;
    4. it failed (a code other than 0, or a signal) and, in this order, the kernel had killed for memory, refused for
       pids, or the disk was full: that;
    5. SIGNALLED or EXITED, as the kernel says.
    """
    if seen.stop is Stop.OUTPUT_LIMIT:
        return Reason.OUTPUT_LIMIT, "it wrote more than the output limit"
    if seen.status is None:
        return _unseen(seen)
    code, number = exit_code(seen.status), exit_signal(seen.status)
    if seen.stop is not None and code is None:
        return Reason(seen.stop), _STOPPED[seen.stop]
    if code == 0:
        return Reason.EXITED, "it exited with code 0"
    how = f"exited with code {code}" if number is None else f"was ended by {_signal_name(number)}"
    if seen.oom_kills:
        return Reason.OUT_OF_MEMORY, f"the kernel killed {seen.oom_kills} of its processes for memory; it {how}"
    if seen.pids_refused:
        return Reason.PIDS_LIMIT, f"the pids limit refused it {seen.pids_refused} times; it {how}"
    if seen.full_disks:
        return Reason.DISK_FULL, f"no room left on {', '.join(seen.full_disks)}; it {how}"
    if seen.told_of_full_disk:
        return Reason.DISK_FULL, f"it said that no room is left; it {how}"
    if number == signal.SIGSYS:
        return Reason.SIGNALLED, "the seccomp profile killed it for a system call it may not make"
    return (Reason.EXITED if number is None else Reason.SIGNALLED), f"it {how}"


_STOPPED = {
    Stop.TIMEOUT: "its timeout passed; its whole tree was killed",
    Stop.CANCELLED: "it was cancelled; its whole tree was killed",
}


def _unseen(seen: Observed) -> tuple[Reason, str]:
    if seen.stop is not None:
        return Reason(seen.stop), _STOPPED[seen.stop]
    if seen.init_out_of_memory:
        return Reason.OUT_OF_MEMORY, "memory ran out and the kernel killed the sandbox's PID 1"
    return Reason.SANDBOX_LOST, seen.lost or "the sandbox went away"


def exit_code(status: int | None) -> int | None:
    """The code in a wait status, or None where it was not an exit."""
    return None if status is None or status & 0x7F else status >> 8 & 0xFF


def exit_signal(status: int | None) -> int | None:
    """The signal in a wait status, or None where it was none."""
    return status & 0x7F if status is not None and status & 0x7F else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
