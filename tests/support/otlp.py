"""A real OTLP receiver: the collector's TraceService on a loopback port, keeping every span it is sent."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Span:
    """A span as it was received; ids in lower-case hex, `parent` empty for a root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    status: int


@dataclass
class Receiver(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]
    """What was received so far, and where."""

    endpoint: str = ""
    spans: list[Span] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        """See the OTLP specification (opentelemetry.io/docs/specs/otlp)."""
        with self.lock:
            self.spans += _spans(request)
            self.raw.append(request.SerializeToString())
        return trace_service_pb2.ExportTraceServiceResponse()

    def of_trace(self, trace: str) -> list[Span]:
        """The spans of one trace so far."""
        with self.lock:
            return [span for span in self.spans if span.trace == trace]

    def wait(self, trace: str, enough: Callable[[list[Span]], bool], timeout_s: float = 10) -> list[Span]:
        """The spans of a trace once `enough` of them are there, or what came within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not enough(self.of_trace(trace)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.of_trace(trace)


@contextmanager
def receiver(socket: Path | None = None) -> Iterator[Receiver]:
    """A receiver on `socket`, or else on a free loopback port, for as long as the block runs."""
    kept = Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)
    port = server.add_insecure_port(f"unix:{socket}" if socket else "127.0.0.1:0")
    kept.endpoint = f"unix:{socket}" if socket else f"127.0.0.1:{port}"
    server.start()
    try:
        yield kept
    finally:
        server.stop(None)


def _spans(request: Any) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = {a.key: a.value.string_value for a in resource.resource.attributes}.get("service.name", "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    service=service,
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    attributes={a.key: _value(a.value) for a in span.attributes},
                    status=span.status.code,
                )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
