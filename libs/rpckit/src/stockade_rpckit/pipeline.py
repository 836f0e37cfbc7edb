"""The one path that every call takes: tracing > errors > identity > audit > validation > handler.

Five interceptors written one by one cost a third of the unary throughput, so they are composed into one wrapper per
kind of RPC. The order decides correctness: the tracer is outermost, so that a span carries the status the caller got;
errors end in `context.abort`, which alone carries details as trailing metadata.
"""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from stockade.options.v1 import options_pb2
from stockade_audit import RecordUnavailable

from stockade_rpckit import contract, identity, metrics, tracing
from stockade_rpckit.contract import Method
from stockade_rpckit.errors import Failure, FailureTable, failure_of, internal
from stockade_rpckit.identity import Authenticate, Principal, PrincipalKind, Unproven
from stockade_rpckit.logs import get_logger
from stockade_rpckit.recording import NOBODY, Record, Recorder
from stockade_rpckit.validation import validate

log = get_logger(__name__)

MOST_CALLS = 256
"""Calls that one sandbox may have open at once; each holds memory here, and some a thread."""

_CLIENT_FAULTS = {  # https://opentelemetry.io/docs/specs/semconv/rpc/grpc/: these leave a server's span unset
    "CANCELLED", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNAUTHENTICATED",
}  # fmt: skip


@dataclass(slots=True)
class Call:
    """One call on its way through the pipeline."""

    method: Method
    span: trace.Span
    record: Record
    principal: Principal = NOBODY
    served: bool = False
    """Whether it got as far as its handler."""
    early: bool = False
    """Whether its handler begins before its intent is durable: see `recording.before_intent`."""


class Pipeline:
    """Wraps the handlers of one listener."""

    def __init__(self, authenticate: Authenticate, recorder: Recorder, failures: FailureTable) -> None:
        self._authenticate = authenticate
        self._recorder = recorder
        self._failures = failures
        self._open: Counter[str] = Counter()  # calls by the sandbox that they come from

    @asynccontextmanager
    async def call(self, method: Method, context: grpc.aio.ServicerContext) -> AsyncIterator[Call]:
        """One call from its first byte to its status: traced, identified, recorded, its errors turned into statuses."""
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        with tracing.entered(_span(method, metadata)) as span:
            ids = span.get_span_context()
            call = Call(method, span, self._recorder.open(method, f"{ids.trace_id:032x}", f"{ids.span_id:016x}"))
            try:
                if contract.ANYONE not in method.callers:
                    proved = self._authenticate(metadata, context)
                    self._identify(call, proved if isinstance(proved, Principal) else await proved)
                with self._room_for(call.principal):
                    yield call
                await self._close(call, "OK")
            except asyncio.CancelledError:
                await asyncio.shield(self._close_quietly(call, "CANCELLED"))
                raise
            except grpc.aio.AbortError:
                await self._close_quietly(call, context.code().name)
                raise
            except Exception as error:
                await self._fail(call, context, error)

    async def admit(self, call: Call, request: Message | None) -> None:
        """Hold the caller to the contract, then the request to its rules, then open the record."""
        _authorize(call)
        if request is not None:
            validate(request)
        call.served = True
        await self._recorder.begin(call.method, call.record, request, call.early)

    def _identify(self, call: Call, principal: Principal) -> None:
        """From here on the call is this principal's, in its span and its record too."""
        call.principal = principal
        identity.enter(principal)
        self._recorder.identify(call.record, principal)
        if call.span.is_recording():
            call.span.set_attribute("stockade.principal", self._recorder.alias(principal))

    @contextmanager
    def _room_for(self, principal: Principal) -> Iterator[None]:
        """Counts an agent's call as long as it is open. Raises Failure where its sandbox has too many."""
        if principal.kind is not PrincipalKind.AGENT:
            yield
            return
        place = principal.sandbox or f"agent {principal.name}"  # one of the mesh may be in none of our sandboxes
        if self._open[place] >= MOST_CALLS:
            raise _too_many_calls()
        self._open[place] += 1
        try:
            yield
        finally:
            self._open[place] -= 1
            if not self._open[place]:
                del self._open[place]

    async def _close(self, call: Call, code: str, reason: str = "") -> None:
        call.span.set_attribute("rpc.response.status_code", code)
        if code != "OK" and code not in _CLIENT_FAULTS:
            call.span.set_status(Status(StatusCode.ERROR, reason or code))
        if call.method.recording != contract.NONE:
            metrics.observe_call(call.method.unary_name, code, (time.monotonic_ns() - call.record.started_ns) / 1e9)
        if call.served:
            await self._recorder.close(call.method, call.record, code, reason)
        elif call.method.recording != contract.NONE:
            self._recorder.fold(call.record, code, reason)

    async def _close_quietly(self, call: Call, code: str, reason: str = "") -> None:
        """Close a call that failed anyway: a record that cannot be written changes nothing for its caller."""
        try:
            await self._close(call, code, reason)
        except RecordUnavailable as error:
            log.error("a failed call could not be recorded", extra={"method": call.method.path, "error": str(error)})

    async def _fail(self, call: Call, context: grpc.aio.ServicerContext, error: Exception) -> None:
        trace_id = f"{call.span.get_span_context().trace_id:032x}"
        failure = failure_of(error, {RecordUnavailable: _record_unavailable, **self._failures})
        if failure is None:
            log.exception("a handler failed", exc_info=error, extra={"method": call.method.path})
            failure = internal(trace_id)
        if not call.served:
            call.record.origin = _origin(context)
            call.record.claimed = failure.claimed if isinstance(failure, Unproven) else {}
        await self._close_quietly(call, failure.code.name, failure.reason)
        await context.abort(failure.code, failure.message, trailing_metadata=failure.trailing_metadata())


def _span(method: Method, metadata: Mapping[str, str]) -> trace.Span:
    """The span of a call that begins, in its caller's trace; one that is not kept where this second's are spent."""
    context = tracing.extract(metadata)
    if method.spans is not None and not method.spans.take():
        return tracing.unrecorded(context)
    return method.tracer.start_span(
        method.unary_name,
        context=context,
        kind=SpanKind.SERVER,
        attributes=tracing.rpc_attributes(method.path),
    )


def _authorize(call: Call) -> None:
    allowed = call.method.callers
    if contract.ANYONE in allowed or call.principal.kind.caller in allowed:
        return
    names = ", ".join(sorted(options_pb2.Caller.Name(caller).removeprefix("CALLER_") for caller in allowed))
    raise Failure(
        grpc.StatusCode.PERMISSION_DENIED,
        "CALLER_NOT_ALLOWED",
        f"{call.method.name} may be called by {names}; this call came from {call.principal.kind.name}",
        metadata={"caller": call.principal.kind.name, "allowed": names},
    )


def _origin(context: grpc.aio.ServicerContext) -> dict[str, str]:
    """Where a call came from over the network, without the port; on a Unix socket that is not known."""
    family, _, address = context.peer().partition(":")
    return {"peer": address.rpartition(":")[0]} if family in ("ipv4", "ipv6") else {}


def _too_many_calls() -> Failure:
    return Failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_CALLS",
        f"this sandbox has {MOST_CALLS} calls open here already; end some, or wait for one to end",
        metadata={"limit": str(MOST_CALLS)},
    )


def _record_unavailable(error: Exception) -> Failure:
    return Failure(
        grpc.StatusCode.UNAVAILABLE,
        "RECORD_UNAVAILABLE",
        f"the audit record cannot be written, so nothing was done: {error}",
        retry_after_s=1.0,
    )


Behaviour = Callable[[Any, Any], Any]


class PipelineInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Sends every RPC of a server through a `Pipeline`; one wrapper per method, made once."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """See `grpc.aio.ServerInterceptor`."""
        if wrapped := self._wrapped.get(details.method):
            return wrapped
        handler = await continuation(details)
        if handler is None:
            return None
        self._wrapped[details.method] = wrapped = _wrap(handler, contract.method(details.method), self._pipeline)
        return wrapped


def _wrap(handler: grpc.RpcMethodHandler, method: Method, pipeline: Pipeline) -> grpc.RpcMethodHandler:
    kind = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    behaviour = _served(getattr(handler, kind), method)
    incoming = _many if handler.request_streaming else _one
    outgoing = _streamed if handler.response_streaming else _returned
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    wrapped: grpc.RpcMethodHandler = make(
        outgoing(behaviour, incoming, method, pipeline),
        request_deserializer=handler.request_deserializer,
        response_serializer=_serializer(handler.response_serializer),
    )
    return wrapped


def _serializer(serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """A handler that replies with megabytes may serialize its reply itself, with fewer copies, and return bytes."""
    return lambda reply: reply if isinstance(reply, bytes) else serialize(reply)


def _served(behaviour: Behaviour, method: Method) -> Behaviour:
    """Our handlers are async; a plain function is the generated base class's, that is, an RPC not served yet."""
    if inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour):
        return behaviour

    def not_served(_request: Any, _context: Any) -> Any:
        raise Failure(
            grpc.StatusCode.UNIMPLEMENTED,
            "NOT_SERVED_YET",
            f"{method.name} is in the contract but not served yet; docs/not-served-yet.md lists what is not",
            metadata={"method": method.name},
        )

    return not_served


async def _one(pipeline: Pipeline, call: Call, request: Message) -> Message:
    await pipeline.admit(call, request)
    return request


async def _many(pipeline: Pipeline, call: Call, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """A request stream is admitted on its first message, which names what the call is about."""
    first = await anext(aiter(requests), None)
    await pipeline.admit(call, first)
    return _rest(first, requests)


async def _rest(first: Message | None, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    if first is None:
        return
    yield first
    async for request in requests:
        validate(request)
        yield request


def _returned(behaviour: Behaviour, incoming: Any, method: Method, pipeline: Pipeline) -> Behaviour:
    early = getattr(behaviour, "before_intent", False)

    async def serve(request: Any, context: grpc.aio.ServicerContext) -> Any:
        async with pipeline.call(method, context) as call:
            call.early = early
            return await behaviour(await incoming(pipeline, call, request), context)

    return serve


def _streamed(behaviour: Behaviour, incoming: Any, method: Method, pipeline: Pipeline) -> Behaviour:
    """Writes each response itself: a generator that a client left unread would end at no known time, unrecorded."""
    early = getattr(behaviour, "before_intent", False)

    async def serve(request: Any, context: grpc.aio.ServicerContext) -> None:
        async with pipeline.call(method, context) as call:
            call.early = early
            responses = behaviour(await incoming(pipeline, call, request), context)
            if inspect.isawaitable(responses):  # a handler that writes to the context itself
                await responses
                return
            async with aclosing(responses):
                async for response in responses:
                    await _write(context, response)

    return serve


async def _write(context: grpc.aio.ServicerContext, response: Any) -> None:
    try:
        await context.write(response)
    except grpc.aio.InternalError as error:  # the client went away, which gRPC is about to say
        raise asyncio.CancelledError from error
