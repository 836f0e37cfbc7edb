"""The spans of one exec, from the times that the host and the supervisor saw.

`supervisor.start` lasts from the order to the program's first instruction, `process` from the word to go until its
main process ended. Both hang on the span that was current when the exec was asked for, `sandbox.exec`; the program gets
`process` as its TRACEPARENT.
"""

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from stockade_rpckit.tracing import tracer

from stockade_sandbox.domain.ending import Ending, Reason

_W3C = TraceContextTextMapPropagator()


class ExecSpans:
    """Opens and closes the spans. Made where `sandbox.exec` is current."""

    def __init__(self) -> None:
        self._parent = context.get_current()
        self._start = tracer().start_span("supervisor.start", self._parent)
        self._process: trace.Span | None = None
        self.traceparent = ""
        """What the program finds in TRACEPARENT; empty before it starts, and outside a trace."""
        self._exit_ns: int | None = None

    def forked(self) -> str:
        """The child waits: opens `process`; its traceparent, or nothing outside a trace."""
        self._process = tracer().start_span("process", self._parent)
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._process, self._parent))
        self.traceparent = carrier.get("traceparent", "")
        return self.traceparent

    def started(self, exec_ns: int) -> None:
        """The program runs."""
        self._start.end(exec_ns)

    def exited(self, exit_ns: int, code: int | None, signal: int | None) -> None:
        """The main process ended."""
        if self._process is not None:
            if code is not None:
                self._process.set_attribute("process.exit.code", code)
            if signal is not None:
                self._process.set_attribute("process.exit.signal", signal)
        self._exit_ns = exit_ns

    def ended(self, ending: Ending) -> None:
        """The exec is over: closes what is still open, and says how it ended."""
        if self._start.is_recording():
            self._start.end()
        if self._process is not None:
            self._process.set_attribute("stockade.ending", ending.reason)
            if ending.reason is Reason.SANDBOX_LOST:
                self._process.set_status(trace.StatusCode.ERROR, ending.detail)
            self._process.end(self._exit_ns)

    def failed(self, why: str) -> None:
        """There was no program."""
        for span in (self._start, self._process):
            if span is not None:
                span.set_status(trace.StatusCode.ERROR, why)
                span.end()
