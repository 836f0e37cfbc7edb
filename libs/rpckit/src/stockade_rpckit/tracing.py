"""Traces: W3C context in, spans out by OTLP to the audit daemon, which keeps them and passes them on.

opentelemetry-instrumentation-grpc is not usable on aio servers (a handler that raises leaves its span unset), so the
interceptors of this package make the spans, with the attributes of the RPC semantic conventions.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

EXPORT_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
EXPORT_TIMEOUT_S = 1.0

_TRACE_CONTEXT = TraceContextTextMapPropagator()


class SocketSpanExporter(SpanExporter):
    """Exports by OTLP over a gRPC target, without waiting for one that is absent.

    A batch that cannot be delivered within a second is dropped and counted in `dropped`: the audit record is what
    must not lose anything, and spans are its copy.
    """

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=[("grpc.initial_reconnect_backoff_ms", 200)])
        self._export = self._channel.unary_unary(
            EXPORT_METHOD, request_serializer=lambda message: message.SerializeToString()
        )
        self.dropped = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            self._export(encode_spans(spans), timeout=EXPORT_TIMEOUT_S)
        except grpc.RpcError:
            self.dropped += len(spans)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._channel.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


_setup_lock = threading.Lock()
_provider: TracerProvider | None = None
_exporters: list[SocketSpanExporter] = []


def setup(service: str, targets: Iterable[str]) -> None:
    """Make this process's tracer: spans of `service`, batched to each gRPC target (e.g. "unix:/…/audit.sock").

    A second call in one process changes nothing.
    """
    global _provider
    with _setup_lock:
        if _provider is not None:
            return
        propagate.set_global_textmap(CompositePropagator([_TRACE_CONTEXT, W3CBaggagePropagator()]))
        _provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        for target in targets:
            _exporters.append(exporter := SocketSpanExporter(target))
            _provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200, max_queue_size=16_384))
        trace.set_tracer_provider(_provider)


def dropped() -> int:
    """Spans of this process that could not be delivered so far."""
    return sum(exporter.dropped for exporter in _exporters)


def shutdown(timeout_s: float = 2.0) -> None:
    """Flush what is batched, within `timeout_s`."""
    if _provider is not None:
        _provider.force_flush(int(timeout_s * 1000))
        _provider.shutdown()


_TRACER = trace.get_tracer("stockade")  # a proxy until a provider is set; asking for it anew costs 45 µs


class Budget:
    """So many spans in each second. Belongs to one event loop."""

    __slots__ = ("_left", "_per_second", "_second")

    def __init__(self, per_second: int) -> None:
        self._per_second = self._left = per_second
        self._second = 0

    def take(self) -> bool:
        """Whether there was one left."""
        if (second := int(time.monotonic())) != self._second:
            self._second, self._left = second, self._per_second
        self._left -= 1
        return self._left >= 0


def tracer() -> trace.Tracer:
    """The process's tracer; a no-op one before `setup`."""
    return _TRACER


@contextmanager
def entered(span: trace.Span) -> Iterator[trace.Span]:
    """The span as the current one, ended with the block: the half of `start_as_current_span` that a call needs."""
    token = contexts.attach(trace.set_span_in_context(span))
    try:
        yield span
    finally:
        contexts.detach(token)
        span.end()


_new = RandomIdGenerator()


def unrecorded(context: Context) -> trace.Span:
    """A span that nobody keeps, in its caller's trace or one of its own, so that entries and logs have its ids."""
    parent = trace.get_current_span(context).get_span_context()
    trace_id = parent.trace_id if parent.is_valid else _new.generate_trace_id()
    return trace.NonRecordingSpan(trace.SpanContext(trace_id, _new.generate_span_id(), is_remote=False))


def extract(metadata: Mapping[str, str]) -> Context:
    """The trace context and baggage that a call carries."""
    return propagate.extract(metadata)


def current_traceparent() -> str:
    """The current span as a W3C `traceparent`, or an empty string outside one."""
    carrier: dict[str, str] = {}
    _TRACE_CONTEXT.inject(carrier)
    return carrier.get("traceparent", "")


def outgoing_metadata() -> tuple[tuple[str, str], ...]:
    """What a client call has to carry so that its trace goes on: traceparent, tracestate and baggage."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple(carrier.items())


def rpc_attributes(method: str) -> dict[str, Any]:
    """RPC semantic conventions for a gRPC method path ("/package.Service/Method")."""
    return {"rpc.system.name": "grpc", "rpc.method": method.lstrip("/")}
