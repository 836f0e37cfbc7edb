"""The channel repeats what may be repeated while nobody answers, and nothing else; a call that hangs has an end."""

import json
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
