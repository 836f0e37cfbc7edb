"""The channel repeats what may be repeated while nobody answers, and nothing else; a call that hangs has an end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import pytest
from stockade.sandbox.v1 import exec_service_pb2 as execs
from stockade.sandbox.v1 import exec_service_pb2_grpc, sandbox_pb2, sandbox_service_pb2_grpc
from stockade.sandbox.v1 import sandbox_service_pb2 as pb
from stockade_agent import AsyncSandbox, AsyncStockade, Unreachable


class Flaky(sandbox_service_pb2_grpc.SandboxServiceServicer, exec_service_pb2_grpc.ExecServiceServicer):
    """Says twice that it is away, then answers."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def _away(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.asked.append(request)
        if len(self.asked) < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "draining")

    async def CreateSandbox(self, request: Any, context: Any) -> pb.CreateSandboxResponse:
        await self._away(request, context)
        return pb.CreateSandboxResponse(sandbox=sandbox_pb2.Sandbox(name="sb-1"))

    async def RunCommand(self, request: Any, context: Any) -> execs.RunCommandResponse:
        await self._away(request, context)
        return execs.RunCommandResponse()


@pytest.fixture
async def flaky(tmp_path: Path) -> AsyncIterator[tuple[Flaky, AsyncStockade]]:
    service, server = Flaky(), grpc.aio.server()
    sandbox_service_pb2_grpc.add_SandboxServiceServicer_to_server(service, server)
    exec_service_pb2_grpc.add_ExecServiceServicer_to_server(service, server)
    server.add_insecure_port(f"unix:{tmp_path}/s.sock")
    await server.start()
    async with AsyncStockade(lambda _service: f"unix:{tmp_path}/s.sock") as stockade:
        yield service, stockade
    await server.stop(None)


async def test_a_create_is_repeated_under_one_id(flaky: tuple[Flaky, AsyncStockade]) -> None:
    service, stockade = flaky
    assert (await AsyncSandbox(stockade, agent="a1").create()).name == "sb-1"
    assert len(service.asked) == 3
    assert len({request.request_id for request in service.asked}) == 1
    assert service.asked[0].request_id


async def test_a_command_is_not_repeated(flaky: tuple[Flaky, AsyncStockade]) -> None:
    service, stockade = flaky
    sandbox = AsyncSandbox.existing(stockade, "sb-1")
    with pytest.raises(grpc.aio.AioRpcError):
        await sandbox.stub(exec_service_pb2_grpc.ExecServiceStub).RunCommand(execs.RunCommandRequest(sandbox="sb-1"))
    assert len(service.asked) == 1


class Steady(sandbox_service_pb2_grpc.SandboxServiceServicer):
    """Answers."""

    async def GetSandbox(self, request: Any, _context: Any) -> pb.GetSandboxResponse:
        return pb.GetSandboxResponse(sandbox=sandbox_pb2.Sandbox(name=request.name))


async def _serve(port: int = 0) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 1),))
    sandbox_service_pb2_grpc.add_SandboxServiceServicer_to_server(Steady(), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, port


async def test_a_read_that_reaches_its_server_as_it_ends_is_taken_by_the_next() -> None:
    ending, port = await _serve()
    until = time.monotonic() + 1

    async def read() -> int:
        count = 0
        while time.monotonic() < until:
            await stub.GetSandbox(pb.GetSandboxRequest(name="sb-1"))
            count += 1
        return count

    async with AsyncStockade(lambda _service: f"127.0.0.1:{port}") as stockade:
        stub = AsyncSandbox.existing(stockade, "sb-1").stub(sandbox_service_pb2_grpc.SandboxServiceStub)
        readers = [asyncio.ensure_future(read()) for _ in range(40)]
        await asyncio.sleep(0.4)
        successor, _ = await _serve(port)
        await ending.stop(2)
        try:
            assert min(await asyncio.gather(*readers)) > 1
        finally:
            await successor.stop(None)


class Ending(exec_service_pb2_grpc.ExecServiceServicer):
    """Answers as gRPC's servers do for what reaches them as they end."""

    async def Exec(self, _requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")


async def test_a_command_that_reaches_its_server_as_it_ends_says_so() -> None:
    server = grpc.aio.server()
    exec_service_pb2_grpc.add_ExecServiceServicer_to_server(Ending(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with AsyncStockade(lambda _service: f"127.0.0.1:{port}") as stockade:
        with pytest.raises(Unreachable, match="did not take the call; call again"):
            await AsyncSandbox.existing(stockade, "sb-1").run("true")
    await server.stop(None)


async def test_nobody_there_is_told_soon(tmp_path: Path) -> None:
    async with AsyncStockade.connect(tmp_path) as nobody:
        with pytest.raises(Unreachable):
            await AsyncSandbox(nobody, agent="a1").create()


def test_what_has_side_effects_is_repeated_only_by_id() -> None:
    config = json.loads(files("stockade").joinpath("service_config.json").read_text())
    repeated = {name["method"] for group in config["methodConfig"] for name in group["name"]}
    assert repeated >= {"CreateSandbox", "GetSandbox", "DeleteSandbox", "WatchSandboxes", "BatchGet"}
    assert not repeated & {
        "Exec",
        "RunCommand",
        "AttachExec",
        "CheckRequest",
        "LeaseQuota",
        "AcquirePermits",
        "WriteFile",
    }
