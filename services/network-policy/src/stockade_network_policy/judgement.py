"""The application service behind every way of asking: decide, count, record, then answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stockade_network_policy.domain.decision import Decision, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an allowed request ended."""

    status: int  # HTTP status; 0 where there was none
    bytes_sent: int
    bytes_received: int
    duration_s: float
    details: str  # Envoy's response code details, or what the agent reported
    known: bool = True  # False: nobody said in time (`outcome_unknown`)


@dataclass(slots=True, kw_only=True)
class Judged:
    """A request, its decision and, once it is known, its outcome."""

    request: Request
    decision: Decision
    time_ns: int
    outcome: Outcome | None = None


class Judgement:
    """Policy, limits and record in one call."""

    async def judge(self, request: Request) -> Decision:
        """Decides in one atomic step and returns once the audit entry `decision_id` is durable.

        Raises `RecordUnavailable` where it cannot be recorded: the asker refuses the request (503), never lets it pass.
        """
        raise NotImplementedError

    async def outcome(
        self,
        decision_id: str,
        *,
        status: int,
        bytes_sent: int,
        bytes_received: int,
        duration_s: float,
        details: Mapping[str, str] | None = None,
    ) -> bool:
        """Closes a decision; False where it is unknown or closed already (the first outcome stands)."""
        raise NotImplementedError

    async def progress(self, decision_id: str, bytes_sent: int, bytes_received: int) -> bool:
        """Counts an open tunnel's bytes so far (totals); True when its agent's tunnels have to be cut."""
        raise NotImplementedError

    def get(self, decision_id: str, sandbox: str = "") -> Judged | None:
        """The decision of that id, where `sandbox` is empty or asked for it."""
        raise NotImplementedError

    def recent(self, sandbox: str) -> list[Judged]:
        """The sandbox's latest refusals and silently ended tunnels, newest first; at most 50."""
        raise NotImplementedError
