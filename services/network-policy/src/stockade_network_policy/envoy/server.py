"""Where a mesh's Envoy asks: a bare gRPC server on a socket of its own, `services/envoy.sock`.

It stands beside the pipeline of our own contract: these protocols carry none of its options, and a check has less time
than tracing and validation take. Whoever enters the directory is a service, and says which agent asks.
"""

import asyncio
from pathlib import Path

import grpc
from envoy.service.accesslog.v3 import als_pb2_grpc
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.ratelimit.v3 import rls_pb2_grpc

from stockade_network_policy.envoy.accesslog import AccessLog
from stockade_network_policy.envoy.authorization import Authorization
from stockade_network_policy.envoy.ratelimit import RateLimit
from stockade_network_policy.gate import sockets
from stockade_network_policy.judgement import Judgement

SOCKET = "envoy.sock"


async def serve(judgement: Judgement, directory: Path, trust_domain: str) -> None:
    """Answers until cancelled. Certificates of `trust_domain` name agents."""
    path = directory / SOCKET
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    external_auth_pb2_grpc.add_AuthorizationServicer_to_server(Authorization(judgement, trust_domain), server)
    rls_pb2_grpc.add_RateLimitServiceServicer_to_server(RateLimit(judgement), server)
    als_pb2_grpc.add_AccessLogServiceServicer_to_server(AccessLog(judgement), server)
    sockets.clear(path)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    sockets.open_to_directory(path)
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop(0)
        path.unlink(missing_ok=True)
