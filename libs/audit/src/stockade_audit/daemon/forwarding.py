"""Passes spans on to a collector, which may be absent, slow or dead without anybody noticing but the counters."""

import asyncio
from contextlib import suppress
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from stockade_rpckit.logs import get_logger

log = get_logger(__name__)

QUEUE: Final = 512  # requests kept while the collector is away
TIMEOUT_S: Final = 5.0
MAX_PAUSE_S: Final = 10.0
# What the OTLP specification calls retryable: https://opentelemetry.io/docs/specs/otlp/#failures
_RETRYABLE: Final = {
    grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}  # fmt: skip


class Forwarder:
    """Keeps the oldest requests until they are taken; what finds no room is dropped and counted in `dropped`."""

    def __init__(self, endpoint: str) -> None:
        self._target = endpoint.removeprefix("http://").rstrip("/")
        self._queue: asyncio.Queue[otlp.ExportTraceServiceRequest] = asyncio.Queue(QUEUE)
        self.dropped = self.forwarded = 0

    def offer(self, request: otlp.ExportTraceServiceRequest) -> None:
        """Take a request along, if there is a collector and room."""
        if not self._target:
            return
        try:
            self._queue.put_nowait(request)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Send what was taken, for ever."""
        async with grpc.aio.insecure_channel(self._target or "unix:/nowhere") as channel:
            stub: Any = otlp_grpc.TraceServiceStub(channel)  # type: ignore[no-untyped-call]
            while True:
                await self._send(stub, await self._queue.get())
                self._queue.task_done()

    async def drain(self, timeout_s: float) -> None:
        """Wait until all is sent, but no longer than that."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), timeout_s)

    async def _send(self, stub: Any, request: otlp.ExportTraceServiceRequest) -> None:
        pause = 0.25
        while True:
            try:
                await stub.Export(request, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _RETRYABLE:
                    self.dropped += 1
                    log.warning("the collector refused spans", extra={"code": error.code().name})
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)
            else:
                self.forwarded += 1
                return
