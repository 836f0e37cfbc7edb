"""The gate's way in: a socket in the directory that only the gate can enter, on which nothing but spans is taken.

The gate may not enter the services' directory, and what arrives on its other sockets is an agent's word; an agent may
write no spans.
"""

import asyncio
from pathlib import Path

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from stockade_rpckit import identity
from stockade_rpckit.identity import Principal, PrincipalKind
from stockade_rpckit.listeners import Listener

from stockade_audit.daemon.handlers.traces import SpanHandler

SOCKET = "gate/spans.sock"
"""Below run_dir."""


async def serve_gate_spans(run_dir: Path, handler: SpanHandler) -> None:
    """Take spans until cancelled. Where there is no gate, there is nothing to do."""
    listener = Listener(run_dir / SOCKET, identity.always(Principal(PrincipalKind.SERVICE, "gate")))
    if not listener.path.parent.is_dir():
        await asyncio.Event().wait()
    listener.claim()
    server = grpc.aio.server()
    otlp_grpc.add_TraceServiceServicer_to_server(handler, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{listener.path}")
    await server.start()
    listener.open_to_directory()
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop(None)
        listener.path.unlink(missing_ok=True)
