"""Whether a process serves: services by gRPC's health protocol, the gate by Envoy's readiness."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PROBE_SECONDS = 1.0

Probe = Callable[[], Awaitable[bool]]
"""Answers whether a process serves; never raises."""


def service_probe(socket: Path) -> Probe:
    """grpc.health.v1 on a service's socket."""

    async def probe() -> bool:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            try:
                answer = await check(health_pb2.HealthCheckRequest(), timeout=PROBE_SECONDS)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def gate_probe(admin: Path) -> Probe:
    """Envoy's GET /ready on its admin socket (operations/admin in Envoy's documentation)."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_unix_connection(admin)
                writer.write(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
                status = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return status.startswith(b"HTTP/1.1 200")

    return probe
