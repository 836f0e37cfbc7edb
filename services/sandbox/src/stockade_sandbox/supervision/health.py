"""How a supervisor does, as its heartbeat tells."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a sandbox's supervisor does, from its heartbeat."""

    attached: bool
    """Whether it is on the line now."""
    heard_at: float
    """When it was last heard, in seconds of `time.time()`; 0 if never."""
    round_trip_s: float
    """How long its last heartbeat took, in seconds."""
    silent_s: float
    """For how long a heartbeat has gone unanswered, in seconds; while frozen it owes no answer."""
    busy: bool
    """Whether an exec or file operation is under way."""
    active_at: float
    """When an exec or file operation last began or ended, or a caller last spoke to one; for idle timeouts."""
