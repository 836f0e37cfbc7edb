"""How a program ended, and what it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stockade.sandbox.v1 import exec_service_pb2


@dataclass(frozen=True)
class Ending:
    """How a program ended: `reason` is one of EXITED, SIGNALLED, TIMEOUT, OUT_OF_MEMORY, PIDS_LIMIT, DISK_FULL,
    OUTPUT_LIMIT, CANCELLED, SANDBOX_LOST."""

    reason: str
    exit_code: int | None
    signal: int | None
    detail: str
    output_partial: bool
    cpu: timedelta
    wall: timedelta
    peak_memory_bytes: int

    @property
    def ok(self) -> bool:
        """Whether it exited by itself with code 0."""
        return self.reason == "EXITED" and self.exit_code == 0

    @staticmethod
    def of(message: exec_service_pb2.Ending) -> Ending:
        """From the contract's message."""
        from stockade.sandbox.v1 import exec_service_pb2

        return Ending(
            reason=exec_service_pb2.EndingReason.Name(message.reason).removeprefix("ENDING_REASON_"),
            exit_code=message.exit_code if message.HasField("exit_code") else None,
            signal=message.signal if message.HasField("signal") else None,
            detail=message.detail,
            output_partial=message.output_partial,
            cpu=message.usage.cpu_time.ToTimedelta(),
            wall=message.usage.wall_time.ToTimedelta(),
            peak_memory_bytes=message.usage.peak_memory_bytes,
        )


@dataclass(frozen=True)
class Result:
    """What a program wrote and how it ended."""

    stdout: bytes
    stderr: bytes
    ending: Ending
