"""What a mesh does with calls for sandboxes, in a few lines: to the node that a call names, else to the first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

HEADER = "x-stockade-node"


class _Router(grpc.GenericRpcHandler):  # type: ignore[misc]
    """On the wire every kind of call is a stream of messages each way."""

    def __init__(self, nodes: Mapping[str, Path]) -> None:
        self._channels = {name: grpc.aio.insecure_channel(f"unix:{path}") for name, path in nodes.items()}
        self.led: list[tuple[str, str]] = []

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        named = dict(details.invocation_metadata).get(HEADER, "")
        self.led.append((details.method.rpartition("/")[2], named))
        call = self._channels[named or next(iter(self._channels))].stream_stream(details.method)

        async def forward(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            upstream = call(requests)
            context.add_done_callback(lambda _: upstream.cancel())
            try:
                async for answer in upstream:
                    yield answer
            except grpc.aio.AioRpcError as error:
                trailing = tuple(error.trailing_metadata())
                await context.abort(error.code(), error.details(), trailing_metadata=trailing)

        return grpc.stream_stream_rpc_method_handler(forward)


@contextmanager
def node_router(socket: Path, nodes: Mapping[str, Path]) -> Iterator[list[tuple[str, str]]]:
    """Routes on `socket` to the nodes' own sockets; yields what it has led so far: method, and the node it named."""
    loop, led = asyncio.new_event_loop(), list[tuple[str, str]]()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> grpc.aio.Server:
        router = _Router(nodes)
        router.led = led
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((router,))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield led
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
