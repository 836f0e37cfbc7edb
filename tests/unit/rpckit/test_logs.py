"""Log lines: one JSON object each, with the trace of the call that they were written in."""

import json
import logging

from opentelemetry import trace
from stockade_rpckit.logs import JsonFormatter


def line(message: str, **facts: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "probe", "levelname": "INFO", "msg": message, **facts})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def test_a_line_within_a_call_carries_its_trace() -> None:
    with trace.get_tracer("probe").start_as_current_span("call") as span:
        written = line("something happened", entries=3)
    context = span.get_span_context()
    assert (written["trace_id"], written["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert (written["message"], written["level"], written["entries"]) == ("something happened", "INFO", 3)


def test_a_line_outside_has_none() -> None:
    assert {"trace_id", "span_id"}.isdisjoint(line("serving"))


def test_what_is_logged_cannot_begin_a_line_of_its_own() -> None:
    assert line('text\n{"level": "ERROR"}\x1b[2J')["message"] == 'text\n{"level": "ERROR"}\x1b[2J'
