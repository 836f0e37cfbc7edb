"""TraceService, and OTLP's own TraceService that brings the spans."""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from stockade.audit.v1 import trace_service_pb2 as traces
from stockade.audit.v1 import trace_service_pb2_grpc
from stockade_rpckit import threads
from stockade_rpckit.logs import get_logger

from stockade_audit.daemon.domain.errors import PageTokenInvalid
from stockade_audit.daemon.domain.ports import Spans
from stockade_audit.daemon.domain.span import Span, TraceQuery, TraceSummary
from stockade_audit.daemon.forwarding import Forwarder
from stockade_audit.daemon.handlers.messages import time_ns_of, timestamp

log = get_logger(__name__)

QUEUE = 1024  # exports waiting to be stored
_KINDS = {number: name.removeprefix("SPAN_KIND_") for name, number in trace_pb2.Span.SpanKind.items()}
_STATUS = {0: "", 1: "OK", 2: "ERROR"}
_SHOWN_STATUS = {"": traces.SPAN_STATUS_UNSPECIFIED, "OK": traces.SPAN_STATUS_OK, "ERROR": traces.SPAN_STATUS_ERROR}
_PRINCIPAL = "stockade.principal"  # kind:name; the name of whoever is no service is a pseudonym
_WORD = re.compile(r"\w(?:[\w.@-]*\w)?")
_TEXT = 4096  # characters kept of one attribute


Names = Callable[[], Mapping[str, str]]
"""Gives whose pseudonym is whose. Blocking."""


class TraceHandler(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]
    """Traces kept on this machine."""

    def __init__(self, spans: Spans, names: Names) -> None:
        self._spans, self._names = spans, names

    async def ListTraces(self, request: traces.ListTracesRequest, _context: Any) -> traces.ListTracesResponse:
        size = request.page_size or 50
        query = TraceQuery(
            start_ns=time_ns_of(request, "start_time"),
            end_ns=time_ns_of(request, "end_time"),
            service=request.service,
            name=request.name,
            errors_only=request.errors_only,
            min_duration_ns=request.min_duration.ToNanoseconds(),
            limit=size,
            before=_parse_token(request.page_token),
        )
        found = await threads.run(self._spans.traces, query)
        return traces.ListTracesResponse(
            traces=map(_summary_message, found), next_page_token=_token(found[-1]) if len(found) == size else ""
        )

    async def GetTrace(self, request: traces.GetTraceRequest, _context: Any) -> traces.GetTraceResponse:
        found = await threads.run(self._spans.trace, request.trace_id)
        names = await threads.run(self._names)
        return traces.GetTraceResponse(spans=[_span_message(_named(span, names)) for span in found[:10_000]])


class SpanHandler(otlp_grpc.TraceServiceServicer):  # type: ignore[misc]
    """Takes spans: stores them behind a bounded queue and passes the requests on as they came.

    A full queue drops and counts: spans are a copy, and must cost the path they describe nothing.
    """

    def __init__(self, spans: Spans, forwarder: Forwarder, names: Names) -> None:
        self._spans, self._forwarder, self._names = spans, forwarder, names
        self._queue: asyncio.Queue[otlp.ExportTraceServiceRequest] = asyncio.Queue(QUEUE)
        self.dropped = 0

    async def Export(self, request: otlp.ExportTraceServiceRequest, _context: Any) -> otlp.ExportTraceServiceResponse:
        if telling := [span for span in _spans_in(request) if span.status.message or span.events]:
            _hide_names(telling, await threads.run(self._names))
        self._forwarder.offer(request)
        try:
            self._queue.put_nowait(request)
        except asyncio.QueueFull:
            self.dropped += 1
        return otlp.ExportTraceServiceResponse()

    async def store(self) -> None:
        """Store what was taken, for ever; what cannot be stored is dropped, and the daemon goes on."""
        while True:
            requests = [await self._queue.get()]
            while not self._queue.empty():
                requests.append(self._queue.get_nowait())
            try:
                await threads.run(self._spans.add, [span for request in requests for span in spans_of(request)])
            except Exception:
                self.dropped += len(requests)
                log.exception("spans could not be stored")


def _spans_in(request: otlp.ExportTraceServiceRequest) -> Iterator[trace_pb2.Span]:
    return (span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans)


def _hide_names(spans: Iterable[trace_pb2.Span], names: Mapping[str, str]) -> None:
    """Put pseudonyms in the place of subjects that errors speak of."""
    aliases = {name: alias for alias, name in names.items()}
    for span in spans:
        span.status.message = _WORD.sub(lambda word: aliases.get(word[0], word[0]), span.status.message)
        for attribute in (attribute for event in span.events for attribute in event.attributes):
            if attribute.value.HasField("string_value"):
                text = attribute.value.string_value
                attribute.value.string_value = _WORD.sub(lambda word: aliases.get(word[0], word[0]), text)


def spans_of(request: otlp.ExportTraceServiceRequest) -> Iterator[Span]:
    """The spans of an OTLP request; those without proper ids are passed over."""
    for resource in request.resource_spans:
        attributes = {attribute.key: _text(attribute.value) for attribute in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                if len(span.trace_id) == 16 and len(span.span_id) == 8:
                    yield _span(span, attributes.get("service.name", ""))


def _span(span: trace_pb2.Span, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        name=span.name[:256],
        service=service[:128],
        kind=_KINDS.get(span.kind, "UNSPECIFIED"),  # a later version of OTLP may know more
        start_ns=min(span.start_time_unix_nano, (1 << 63) - 1),
        end_ns=min(span.end_time_unix_nano, (1 << 63) - 1),
        status=_STATUS.get(span.status.code, ""),
        status_message=span.status.message[:_TEXT],
        attributes={attribute.key: _text(attribute.value) for attribute in span.attributes[:128]},
        links=tuple(f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links[:128]),
    )


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind in ("string_value", "int_value", "double_value", "bool_value"):
        return str(getattr(value, kind))[:_TEXT]
    if kind == "array_value":
        return ", ".join(_text(item) for item in value.array_value.values[:64])[:_TEXT]
    return " ".join(str(value).split())[:_TEXT]


def _named(span: Span, names: Mapping[str, str]) -> Span:
    """The span with its caller's name, as long as that is known."""
    kind, _, alias = span.attributes.get(_PRINCIPAL, "").partition(":")
    if alias not in names:
        return span
    return replace(span, attributes={**span.attributes, _PRINCIPAL: f"{kind}:{names[alias]}"})


def _span_message(span: Span) -> traces.Span:
    message = traces.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        service=span.service,
        kind=span.kind,
        start_time=timestamp(span.start_ns),
        status=_SHOWN_STATUS[span.status],
        status_message=span.status_message,
        attributes=span.attributes,
        links=span.links,
    )
    message.duration.FromNanoseconds(max(0, span.end_ns - span.start_ns))
    return message


def _summary_message(summary: TraceSummary) -> traces.TraceSummary:
    message = traces.TraceSummary(
        trace_id=summary.trace_id,
        name=summary.name,
        start_time=timestamp(summary.start_ns),
        spans=summary.spans,
        services=summary.services,
        errors=summary.errors,
    )
    message.duration.FromNanoseconds(max(0, summary.end_ns - summary.start_ns))
    return message


def _token(summary: TraceSummary) -> str:
    return base64.urlsafe_b64encode(json.dumps([summary.start_ns, summary.trace_id]).encode()).decode()


def _parse_token(token: str) -> tuple[int, str] | None:
    if not token:
        return None
    try:
        start_ns, trace_id = json.loads(base64.urlsafe_b64decode(token))
        return int(start_ns), str(trace_id)
    except (ValueError, TypeError) as error:
        raise PageTokenInvalid from error
