"""Spans as they are kept."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One timed step of a trace. Ids in lower-case hex, times in ns; status is "", "OK" or "ERROR"."""

    trace_id: str
    span_id: str
    parent_span_id: str = ""
    name: str = ""
    service: str = ""
    kind: str = "INTERNAL"
    start_ns: int = 0
    end_ns: int = 0
    status: str = ""
    status_message: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Which traces; `before` is (start, trace id) of the last one of the page before."""

    start_ns: int = 0
    end_ns: int = 0
    service: str = ""
    name: str = ""
    errors_only: bool = False
    min_duration_ns: int = 0
    limit: int = 50
    before: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A trace in one line."""

    trace_id: str
    name: str
    start_ns: int
    end_ns: int
    spans: int
    services: tuple[str, ...]
    errors: int
