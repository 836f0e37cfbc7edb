"""A client channel carries the caller's trace: client span under the caller's, server span under the client's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from stockade_rpckit.channel import connect
from stockade_rpckit.tracing import current_traceparent, tracer

from support.probe import messages, stubs
from support.served import Served

KINDS = ("One", "OneMany", "ManyOne", "ManyMany")


async def _ask(served: Served, kind: str, mood: str) -> None:
    async def asks() -> AsyncIterator[Any]:
        yield messages.Ask(name="ada", mood=mood)

    async with connect(f"unix:{served.run_dir}/operators/ada/probe.sock") as channel:
        request = asks() if kind.startswith("Many") else messages.Ask(name="ada", mood=mood)
        with tracer().start_as_current_span("caller"):
            call = getattr(stubs.ProbeStub(channel), kind)(request, timeout=5)
            if kind.endswith("Many"):
                assert [answer.text async for answer in call] == ["hello ada"]
            else:
                assert (await call).text == "hello ada"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_trace_goes_on_in_the_server(served: Served, kind: str) -> None:
    await _ask(served, kind, "")
    caller, client, server = await _spans(served)
    assert client.parent.span_id == caller.context.span_id
    assert server.parent.span_id == client.context.span_id
    assert client.attributes["rpc.response.status_code"] == "OK"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failed_call_shows_in_the_client_span(served: Served, kind: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await _ask(served, kind, "fail")
    _, client, _ = await _spans(served)
    assert client.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert client.status.status_code is StatusCode.ERROR


async def _spans(served: Served) -> tuple[Any, Any, Any]:
    """The caller's, the client's and the server's span, once all three have ended."""
    for _ in range(100):
        found = {span.kind: span for span in served.spans()}
        if len(found) == 3:
            return found[SpanKind.INTERNAL], found[SpanKind.CLIENT], found[SpanKind.SERVER]
        await asyncio.sleep(0.02)
    raise AssertionError(f"three spans wanted, found {found}")


def test_there_is_no_traceparent_outside_a_span() -> None:
    assert current_traceparent() == ""
    with tracer().start_as_current_span("one") as span:
        assert f"{span.get_span_context().trace_id:032x}" in current_traceparent()
