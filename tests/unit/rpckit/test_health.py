"""The health of a process: what is set, what is looked at when it is asked for, and nothing once it leaves."""

from unittest.mock import Mock

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from stockade_rpckit.health import Health

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def status(health: Health, name: str) -> int:
    context = Mock(grpc.aio.ServicerContext)
    context.abort.side_effect = lambda code: pytest.fail(f"{name}: {code}")
    return int((await health.Check(HealthCheckRequest(service=name), context)).status)


async def test_what_is_looked_at_is_so_at_each_question() -> None:
    room = [True]
    health = Health({"places": lambda: room[0]})
    assert await status(health, "places") == SERVING
    room[0] = False
    assert await status(health, "places") == NOT_SERVING


async def test_what_is_told_stands() -> None:
    health = Health({})
    await health.tell("part", False)
    assert (await status(health, ""), await status(health, "part")) == (SERVING, NOT_SERVING)


async def test_once_it_leaves_nothing_serves() -> None:
    health = Health({"places": lambda: True})
    assert await status(health, "places") == SERVING
    await health.enter_graceful_shutdown()
    await health.tell("part", True)
    assert (await status(health, ""), await status(health, "places")) == (NOT_SERVING, NOT_SERVING)
