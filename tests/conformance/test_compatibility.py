"""Yesterday's clients with today's services, and today's client with yesterday's service."""

import dataclasses
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from stockade.networkpolicy.v1 import decision_service_pb2, decision_service_pb2_grpc
from stockade_agent import AsyncSandbox, AsyncStockade, NotServed

from conformance import report, session
from conformance.__main__ import operator_of
from conformance.programs import PYTHON, ROOT, Program
from support.stack import ALLOWED, Stack

RELEASED = sorted((ROOT / "protos/released").glob("*.binpb"))
UNKNOWN = b"\xfa\xff\x7f\x03new"
"""A string in a field of a number that nobody has given yet: 262143."""


@pytest.fixture
def previous(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """The Python client on stubs made from a released contract."""
    made = tmp_path / "made"
    command = [ROOT / ".venv/bin/buf", "generate", request.param, "--template", "buf.gen.yaml", "-o", made]
    subprocess.run(command, cwd=ROOT, check=True)
    stubs = made / "libs/stubs/src"
    return dataclasses.replace(PYTHON, run=["env", f"PYTHONPATH={stubs}", sys.executable, *PYTHON.run[1:]])


@pytest.mark.docker
@pytest.mark.parametrize("previous", [pytest.param(file, id=file.stem) for file in RELEASED], indirect=True)
def test_a_client_of_a_release_passes_its_session(previous: Program, stack: Stack, tmp_path: Path) -> None:
    outcome = session.over_sockets(previous, operator_of(stack), tmp_path)
    assert not report.failed([outcome]), report.table([outcome])


@pytest.mark.docker
async def test_fields_that_a_service_does_not_know_are_passed_over(stack: Stack) -> None:
    asked = decision_service_pb2.RequestToCheck(agent="old", agent_type="test-generator", host=ALLOWED)
    request = decision_service_pb2.CheckRequestRequest(request=asked).SerializeToString() + UNKNOWN
    async with grpc.aio.insecure_channel(f"unix:{operator_of(stack)}/policy.sock") as channel:
        call = channel.unary_unary("/stockade.networkpolicy.v1.DecisionService/CheckRequest")
        answer = decision_service_pb2.CheckRequestResponse.FromString(await call(request))
    assert answer.decision.verdict == decision_service_pb2.VERDICT_ALLOW


@pytest.fixture
async def older(tmp_path: Path) -> AsyncIterator[AsyncStockade]:
    """A stack whose services know none of the methods that are called."""
    server = grpc.aio.server()
    decision_service_pb2_grpc.add_DecisionServiceServicer_to_server(
        decision_service_pb2_grpc.DecisionServiceServicer(), server
    )
    server.add_insecure_port(f"unix:{tmp_path}/older.sock")
    await server.start()
    async with AsyncStockade(lambda _service: f"unix:{tmp_path}/older.sock") as stockade:
        yield stockade
    await server.stop(None)


async def test_a_service_that_is_older_than_the_client_is_named_as_that(older: AsyncStockade) -> None:
    with pytest.raises(NotServed) as caught:
        await AsyncSandbox(older, agent="a1").create()
    assert "older than this client" in caught.value.message
