"""ExecService: programs in sandboxes, streamed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import grpc
from grpc.aio import ServicerContext as Context
from stockade.sandbox.v1 import exec_service_pb2 as pb
from stockade.sandbox.v1.exec_service_pb2_grpc import ExecServiceServicer
from stockade_rpckit.errors import Failure
from stockade_rpckit.recording import before_intent, current_record
from stockade_rpckit.tracing import tracer

from stockade_sandbox.domain.ending import Ending, Stop
from stockade_sandbox.domain.errors import SandboxNotRunning
from stockade_sandbox.domain.execution import Command, ExecEnded, ExecState
from stockade_sandbox.domain.sandbox import Sandbox, State
from stockade_sandbox.handlers import exec_messages as messages
from stockade_sandbox.handlers.access import visible
from stockade_sandbox.handlers.paging import page
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.supervision import Supervision
from stockade_sandbox.supervision.execution import Execution
from stockade_sandbox.supervision.output import Gap, Piece

RUN_COMMAND_OUTPUT_BYTES = 1024 * 1024
"""What RunCommand may answer with; more is for Exec."""

COMMAND_BYTES = 1536 * 1024
"""Arguments and variables of one program, all together."""


class ExecHandler(ExecServiceServicer):
    """See exec_service.proto."""

    def __init__(self, sandboxes: Sandboxes, supervision: Supervision) -> None:
        self._sandboxes, self._supervision = sandboxes, supervision

    @before_intent
    async def Exec(self, requests: AsyncIterator[pb.ExecRequest], context: Context) -> AsyncIterator[pb.ExecResponse]:
        """Runs a program and speaks with it."""
        first = await anext(requests, None)
        if first is None or not first.HasField("start"):
            raise out_of_order("start")
        start = first.start
        sandbox = running(self._sandboxes, start.sandbox)
        with tracer().start_as_current_span("sandbox.exec", attributes={"stockade.sandbox": sandbox.name}):
            command = self._command(start.command, sandbox, stdin=not start.no_stdin)
            execution = await self._supervision.start(
                sandbox.name, command, request_id=start.request_id, permitted=current_record().intended
            )
            if not start.detach_on_cancel:
                context.add_done_callback(lambda _context: execution.stop(Stop.CANCELLED))
            async with aclosing(self._converse(execution, requests, 0)) as events:
                async for event in events:
                    yield pb.ExecResponse(**event)

    @before_intent
    async def RunCommand(self, request: pb.RunCommandRequest, context: Context) -> pb.RunCommandResponse:
        """Runs a small program to its end."""
        sandbox = running(self._sandboxes, request.sandbox)
        with tracer().start_as_current_span("sandbox.exec", attributes={"stockade.sandbox": sandbox.name}):
            command = self._command(request.command, sandbox, bool(request.stdin), RUN_COMMAND_OUTPUT_BYTES)
            execution = await self._supervision.start(
                sandbox.name, command, request_id=request.request_id, permitted=current_record().intended
            )
            context.add_done_callback(lambda _context: execution.stop(Stop.CANCELLED))
            stdout, stderr, ending = await _run_to_end(execution, request.stdin)
        _recorded(execution)
        return pb.RunCommandResponse(exec=execution.id, stdout=stdout, stderr=stderr, ending=messages.ending(ending))

    async def AttachExec(
        self, requests: AsyncIterator[pb.AttachExecRequest], context: Context
    ) -> AsyncIterator[pb.AttachExecResponse]:
        """Speaks again with an exec, from an offset."""
        first = await anext(requests, None)
        if first is None or not first.HasField("attach"):
            raise out_of_order("attach")
        execution = self._find(first.attach.sandbox, first.attach.exec)
        async with aclosing(self._converse(execution, requests, first.attach.offset)) as events:
            async for event in events:
                yield pb.AttachExecResponse(**event)

    async def GetExec(self, request: pb.GetExecRequest, context: Context) -> pb.GetExecResponse:
        """Reads one exec."""
        return pb.GetExecResponse(exec=messages.info(self._find(request.sandbox, request.exec)))

    async def ListExecs(self, request: pb.ListExecsRequest, context: Context) -> pb.ListExecsResponse:
        """Lists execs, newest first."""
        sandbox = visible(self._sandboxes, request.sandbox)
        wanted = pb.ExecState.Name(request.state).removeprefix("EXEC_STATE_")
        found = [item for item in self._supervision.post(sandbox.name).all() if wanted in ("UNSPECIFIED", item.state)]
        scope = f"{sandbox.name}|{wanted}"
        chosen, token = page(found, _newest_first, scope, request.page_size, request.page_token)
        return pb.ListExecsResponse(execs=map(messages.info, chosen), next_page_token=token)

    async def SignalExec(self, request: pb.SignalExecRequest, context: Context) -> pb.SignalExecResponse:
        """Sends a signal."""
        self._find(request.sandbox, request.exec).signal(request.signal.signal, request.signal.group)
        return pb.SignalExecResponse()

    async def CancelExec(self, request: pb.CancelExecRequest, context: Context) -> pb.CancelExecResponse:
        """Ends an exec with its whole tree."""
        execution = self._find(request.sandbox, request.exec)
        execution.stop(Stop.CANCELLED)
        await execution.ended()
        return pb.CancelExecResponse(exec=messages.info(execution))

    def _find(self, sandbox: str, exec_id: str) -> Execution:
        """An exec of a sandbox that the caller may know of; counts as a sign of life for the idle timeout."""
        post = self._supervision.post(visible(self._sandboxes, sandbox).name)
        post.touch()
        return post.find(exec_id)

    @staticmethod
    def _command(
        message: pb.Command, sandbox: Sandbox, stdin: bool, most_output: int = messages.DEFAULT_OUTPUT_BYTES
    ) -> Command:
        command = messages.command(message, sandbox, stdin, most_output)
        size = sum(map(len, command.args)) + sum(len(key) + len(value) for key, value in command.env.items())
        if size > COMMAND_BYTES:
            text = f"arguments and variables have {size} characters, more than {COMMAND_BYTES}; pass data by stdin"
            raise Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", text, violations=[("command", text)])
        return command

    async def _converse(
        self, execution: Execution, requests: AsyncIterator[Any], offset: int
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Passes inputs on and gives events, until the exec has ended. Inputs out of turn end the call."""
        inputs = asyncio.create_task(_pass_on(execution, requests))
        try:
            yield {"started": messages.started(execution)}
            async with aclosing(execution.read(offset)) as items:
                async for item in items:
                    if inputs.done() and not inputs.cancelled() and inputs.exception() is not None:
                        await inputs
                    yield _event(item)
        finally:
            inputs.cancel()
            _recorded(execution)


def running(sandboxes: Sandboxes, name: str) -> Sandbox:
    """A sandbox in which programs can run now. Raises SandboxNotFound, SandboxNotRunning."""
    sandbox = visible(sandboxes, name)
    if sandbox.state is not State.RUNNING:
        raise SandboxNotRunning(name, sandbox.state)
    return sandbox


def out_of_order(expected: str) -> Failure:
    """The stream's messages came in the wrong order."""
    return Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "STREAM_OUT_OF_ORDER",
        f"the stream's messages came in the wrong order: `{expected}` was expected",
        metadata={"expected": expected},
    )


async def _pass_on(execution: Execution, requests: AsyncIterator[Any]) -> None:
    """Gives the program what the caller says. When the caller's stream ends, so does standard input."""
    async for request in requests:
        if not request.HasField("input"):
            execution.stop(Stop.CANCELLED)
            raise out_of_order("input")
        given = request.input
        match given.WhichOneof("input"):
            case "stdin":
                await execution.write(given.stdin)
            case "close_stdin":
                execution.close_input()
            case "signal":
                _signal(execution, given.signal)
            case "resize":
                execution.resize(messages.terminal_size(given.resize))
    execution.close_input()


def _signal(execution: Execution, signal: pb.ExecSignal) -> None:
    try:
        execution.signal(signal.signal, signal.group)
    except ExecEnded:
        return  # the ending is on its way to the caller


async def _run_to_end(execution: Execution, stdin: bytes) -> tuple[bytes, bytes, Ending]:
    feeding = asyncio.create_task(_feed(execution, stdin)) if stdin else None
    streams = (bytearray(), bytearray())
    try:
        async for item in execution.read():
            if isinstance(item, Piece):
                streams[item.stderr].extend(item.data)
            elif isinstance(item, Ending):
                return bytes(streams[0]), bytes(streams[1]), item
    finally:
        if feeding is not None:
            feeding.cancel()
    raise AssertionError("an exec ends with its ending")


async def _feed(execution: Execution, stdin: bytes) -> None:
    await execution.write(stdin)
    execution.close_input()


def _event(item: Piece | Gap | Ending) -> Mapping[str, Any]:
    match item:
        case Piece(offset, stderr, data):
            return {"stderr" if stderr else "stdout": pb.Output(offset=offset, data=data)}
        case Gap(first, end):
            return {"gap": pb.OutputGap(from_offset=first, to_offset=end)}
        case Ending():
            return {"ended": messages.ending(item)}


def _newest_first(execution: Execution) -> str:
    """Orders a page: the newest has the smallest key."""
    return f"{(1 << 32) - execution.number:010d}"


def _recorded(execution: Execution) -> None:
    """What the closing entry says of the exec."""
    record = current_record()
    record.set(resource=execution.id)
    record.answer_first()
    if execution.ending is not None:
        code = execution.ending.exit_code
        record.set(
            metadata={
                "ending": str(execution.ending.reason),
                "output_bytes": execution.ending.output_bytes,
                **({"exit_code": code} if code is not None else {}),
                **({"seccomp_killed": True} if execution.ending.seccomp_killed else {}),
            }
        )
    elif execution.state is ExecState.RUNNING:
        record.set(metadata={"ending": "STILL_RUNNING"})


def _of_command(sandbox: str, command: pb.Command) -> Mapping[str, Any]:
    """Which program, never its arguments: they may hold what is nobody's business."""
    return {"sandbox": sandbox, "metadata": {"program": command.args[0][:256] if command.args else ""}}


DESCRIBE = {
    "Exec": lambda request: _of_command(request.start.sandbox, request.start.command),
    "RunCommand": lambda request: _of_command(request.sandbox, request.command),
    "AttachExec": lambda request: {"sandbox": request.attach.sandbox, "resource": request.attach.exec},
    **dict.fromkeys(
        ("SignalExec", "CancelExec"), lambda request: {"sandbox": request.sandbox, "resource": request.exec}
    ),
}
