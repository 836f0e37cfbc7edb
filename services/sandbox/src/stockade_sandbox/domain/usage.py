"""What a sandbox has used, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of processor since the sandbox was made, and how its limit held it back."""

    total_s: float = 0.0
    user_s: float = 0.0
    system_s: float = 0.0
    periods: int = 0
    throttled_periods: int = 0
    throttled_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, and how often the kernel killed a process for want of them."""

    used: int = 0
    peak: int = 0
    cache: int = 0
    swap: int = 0
    limit: int = 0
    oom_kills: int = 0


@dataclass(frozen=True, slots=True)
class Pids:
    """Processes and threads, and how often the limit refused one."""

    used: int = 0
    limit: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes and inodes in the writable places on disk."""

    used: int = 0
    limit: int = 0
    inodes_used: int = 0
    inodes_limit: int = 0


@dataclass(frozen=True, slots=True)
class Network:
    """What went through the gate."""

    sent: int = 0
    received: int = 0
    allowed: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """All of it at `read_at`, in seconds since the epoch."""

    read_at: float
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    pids: Pids = Pids()
    disk: Disk = Disk()
    network: Network | None = None
    """None where the gate does not tell."""
