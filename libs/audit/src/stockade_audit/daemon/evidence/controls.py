"""What the record says to the criteria of SOC 2 (AICPA Trust Services Criteria, 2017): readiness, never compliance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stockade_audit.daemon.evidence.gathering import Gathered


@dataclass(frozen=True, slots=True)
class Control:
    """A criterion, what of the record bears on it, and how that is counted."""

    criterion: str
    subject: str
    counted: str
    count: Callable[[Gathered], int]


def _actions(*names: str) -> Callable[[Gathered], int]:
    return lambda found: sum(found.actions[name] for name in names)


def _reason(action: str, *reasons: str) -> Callable[[Gathered], int]:
    return lambda found: sum(found.reasons[action, reason] for reason in reasons)


def _rule(*rules: str) -> Callable[[Gathered], int]:
    return lambda found: sum(found.rules[rule] for rule in rules)


_refused_callers = _reason("FOLDED", "CALLER_NOT_ALLOWED", "IDENTITY_MISSING")

CONTROLS: Final = (
    Control("CC6.1", "Logical access", "requests decided by policy", _actions("ALLOWED", "BLOCKED", "RATE_LIMITED")),
    Control("CC6.1", "Logical access", "requests refused by policy", _actions("BLOCKED")),
    Control("CC6.1", "Logical access", "requests refused by a limit", _actions("RATE_LIMITED")),
    Control("CC6.3", "Authorisation", "calls refused for who called", _refused_callers),
    Control("CC6.6", "Boundary", "requests for addresses that no policy opens", _rule("special_address")),
    Control("CC6.6", "Boundary", "requests for unknown domains", _rule("block_unknown_domains")),
    Control("CC6.7", "Data in transit", "secrets cut before they were recorded", lambda found: found.redacted),
    Control("CC6.8", "Isolation", "sandboxes created", _actions("SANDBOX_CREATED")),
    Control("CC6.8", "Isolation", "programs run in sandboxes", _actions("EXEC_STARTED")),
    Control("CC7.1", "Monitoring", "findings raised", _actions("ALERT")),
    Control("CC7.2", "Monitoring", "signs of an escape", _reason("ALERT", "SANDBOX_ESCAPE")),
    Control("CC7.2", "Monitoring", "spikes of refusals", _reason("ALERT", "BLOCK_SPIKE")),
    Control("CC7.3", "Response", "findings looked into", _actions("ACKNOWLEDGED")),
    Control("CC7.4", "Response", "findings closed", _actions("DISPOSED")),
    Control("CC8.1", "Change", "policy changes", _actions("POLICY_CHANGED")),
    Control("CC4.1", "The record itself", "appends refused for want of storage", lambda found: found.refused_appends),
    Control("CC4.1", "The record itself", "entries later than their caller waited", _actions("LATE")),
    Control("CC4.1", "The record itself", "times the clock was set", _actions("CLOCK_CHANGED")),
    Control("CC4.1", "The record itself", "reads of the record", _actions("READ")),
    Control("A1.2", "Availability", "sandboxes that ended by themselves", _actions("SANDBOX_LOST")),
    Control("PI1.4", "Processing", "effects announced", _actions("INTENT")),
    Control("PI1.4", "Processing", "effects whose outcome nobody saw", _actions("OUTCOME_UNKNOWN")),
    Control("C1.2", "Disposal", "subjects erased, entries disposed of", _actions("ERASED")),
    Control("C1.2", "Disposal", "legal holds placed", _actions("HOLD_PLACED")),
)  # fmt: skip


def counted(found: Gathered) -> list[dict[str, str | int]]:
    """Every control with its count."""
    return [
        {"criterion": c.criterion, "subject": c.subject, "counted": c.counted, "count": c.count(found)}
        for c in CONTROLS
    ]
