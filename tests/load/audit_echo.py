"""AppendEntry answered by a bare grpc.aio server that does nothing: what gRPC in Python costs by itself.

Run as a program with the socket to serve on; it says `ready` on its standard output and serves until it is ended.
"""

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import audit_service_pb2_grpc
from stockade_rpckit.server import Unregistered

ANSWER = audit.AppendEntryResponse(id="01a20f37-8e13-71f6-8b17-2bbad4a3e0b4", journal="audit-0", position=1)


class Echo(audit_service_pb2_grpc.AuditServiceServicer):
    """Answers at once."""

    async def AppendEntry(self, _request: audit.AppendEntryRequest, _context: Any) -> audit.AppendEntryResponse:
        return ANSWER


async def serve(socket: str) -> None:
    """Until the process is ended."""
    server = grpc.aio.server()
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(Echo(), Unregistered(server))  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1]))
