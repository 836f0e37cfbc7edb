"""What can be run in a sandbox, and what is known of it: plain values."""

from dataclasses import dataclass, field
from enum import StrEnum

_LONGEST_NAME = 256
"""The most of a program's name that an error repeats: it travels in a header."""


class ExecState(StrEnum):
    """What an exec is doing."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """The size of a terminal, in characters."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run and how. `timeout_s` in seconds, sizes in bytes."""

    args: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = ""
    timeout_s: float = 3600.0
    max_output_bytes: int = 256 * 1024 * 1024
    stdin: bool = True
    """Whether it has a standard input to be written to; else it reads an end at once."""
    terminal: TerminalSize | None = None
    limits: dict[str, int] = field(default_factory=dict)
    """Names as in the contract, lower case without RESOURCE_, to values for setrlimit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an exec used."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    oom_kills: int = 0
    pids_refused: int = 0
    processes_left: int = 0


class ExecNotFound(Exception):
    """No exec of that id in the sandbox."""

    def __init__(self, sandbox: str, exec_id: str) -> None:
        super().__init__(f"sandbox {sandbox} has no exec {exec_id}; ListExecs names those it has")
        self.sandbox = sandbox
        self.exec_id = exec_id


class ExecEnded(Exception):
    """The exec has ended; there is nothing to tell it."""

    def __init__(self, exec_id: str, reason: str) -> None:
        super().__init__(f"exec {exec_id} has ended: {reason}")
        self.exec_id = exec_id
        self.reason = reason


class TooManyExecs(Exception):
    """As many execs as a sandbox may have run in it already."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} execs run in this sandbox, as many as it may have; wait for one or cancel one")
        self.limit = limit


class ProgramNotStarted(Exception):
    """No program came to be: `errno` is the kernel's name for why, `step` where."""

    def __init__(self, program: str, errno: str, step: str, detail: str) -> None:
        self.program = program[:_LONGEST_NAME]
        super().__init__(f"{self.program!r} was not started: {detail}")
        self.errno = errno
        self.step = step


class SupervisorAbsent(Exception):
    """The sandbox's supervisor is not on the line, and did not come within the time given."""

    def __init__(self, sandbox: str) -> None:
        super().__init__(f"the supervisor of sandbox {sandbox} is not on the line; try again")
        self.sandbox = sandbox
