"""What gRPC itself gives on this machine: a server that answers BatchGet with the same bytes and does nothing else.

    python cache_bare.py SOCKET

The ratio of the cache to it is what the cache costs: identity, trace, record, validation, look-up and packing.
"""

import asyncio
import sys

import grpc
import uvloop
from stockade.embeddingcache.v1 import embedding_cache_service_pb2 as pb


class Bare:
    """Keeps what was put last as the reply to every get."""

    async def put(self, request: bytes, _context: object) -> bytes:
        """BatchPut."""
        vectors = pb.BatchPutRequest.FromString(request).rows.vectors
        self._reply = pb.BatchGetResponse(hits=b"\xff" * 32, vectors=vectors).SerializeToString()
        return b""

    async def get(self, _request: bytes, _context: object) -> bytes:
        """BatchGet."""
        return self._reply


async def serve(socket: str) -> None:
    """Serve until the process is ended."""
    server, bare = grpc.aio.server(), Bare()
    handlers = {"BatchPut": bare.put, "BatchGet": bare.get}
    service = pb.DESCRIPTOR.services_by_name["EmbeddingCacheService"].full_name
    server.add_registered_method_handlers(
        service, {name: grpc.unary_unary_rpc_method_handler(handler) for name, handler in handlers.items()}
    )
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1]))
