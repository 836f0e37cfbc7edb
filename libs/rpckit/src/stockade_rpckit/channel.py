"""Client channels: the caller's trace goes along, dead peers are noticed, big batches fit."""

import asyncio
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from stockade_rpckit import contract, tracing
from stockade_rpckit.certificates import Files

MAX_MESSAGE_BYTES = 16 * 1024 * 1024

OPTIONS = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def connect(target: str, certificates: Files | None = None) -> grpc.aio.Channel:
    """An aio channel to `target` ("unix:/path" or "host:port") whose calls continue the current trace.

    With `certificates` it is mutual TLS, and the server's must be for the host. Raises CertificatesUnusable.
    """
    if certificates is None:
        return grpc.aio.insecure_channel(target, options=OPTIONS, interceptors=_interceptors())
    pem = certificates.read()
    credentials = grpc.ssl_channel_credentials(pem.ca, pem.key, pem.cert)
    return grpc.aio.secure_channel(target, credentials, options=OPTIONS, interceptors=_interceptors())


def _interceptors() -> list[Any]:
    return [_UnaryUnary(), _UnaryStream(), _StreamUnary(), _StreamStream()]


def _traced(details: grpc.aio.ClientCallDetails) -> tuple[trace.Span, grpc.aio.ClientCallDetails]:
    path = details.method.decode() if isinstance(details.method, bytes) else details.method
    method = contract.method(path)
    span = method.tracer.start_span(method.unary_name, kind=SpanKind.CLIENT, attributes=tracing.rpc_attributes(path))
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    with trace.use_span(span):
        for key, value in tracing.outgoing_metadata():
            metadata.add(key, value)
    return span, details._replace(metadata=metadata)


_ending: set[asyncio.Task[None]] = set()


def _end_with(span: trace.Span, call: Any) -> None:
    """End `span` with the status of `call`, whenever that comes."""
    task = asyncio.ensure_future(_end(span, call))
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def _end(span: trace.Span, call: Any) -> None:
    code = await call.code()
    span.set_attribute("rpc.response.status_code", code.name)
    if code is not grpc.StatusCode.OK:
        span.set_status(Status(StatusCode.ERROR, code.name))
    span.end()


async def _intercept(_self: Any, continuation: Any, details: Any, request: Any) -> Any:
    span, details = _traced(details)
    call = await continuation(details, request)
    _end_with(span, call)
    return call


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary = _intercept


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream = _intercept


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary = _intercept


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream = _intercept
