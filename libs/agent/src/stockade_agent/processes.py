"""Programs that run on while the caller does something else: `sandbox.commands` and `sandbox.pty`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from stockade_agent.archive import CHUNK_BYTES
from stockade_agent.client import blocking, typed_errors
from stockade_agent.errors import StockadeError

if TYPE_CHECKING:
    from stockade.sandbox.v1 import exec_service_pb2

    from stockade_agent.client import Portal
    from stockade_agent.sandbox import AsyncSandbox, Ending, Metadata, Result

Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class ProcessInfo:
    """A program of a sandbox: `state` is STARTING, RUNNING or ENDED; `ending` is None until it ended."""

    exec: str
    args: tuple[str, ...]
    state: str
    pid: int
    terminal: bool
    ending: Ending | None


class AsyncProcess:
    """A program that was started or attached to, for code that awaits. Every method raises StockadeError.

    As an async context manager it is cancelled on leaving, its whole tree with it, unless it ended or was let go.
    """

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox
        self._call: Any = None
        self._request: Any = None
        self._offset = 0
        self._unsent = False
        self._detached = False
        self.exec = ""
        """Its id, by which it can be attached to."""
        self.pid = 0
        """Its process id in the sandbox."""
        self.ending: Ending | None = None
        """How it ended; None until `output` or `wait` came to that."""

    async def start(self, **start: Any) -> AsyncProcess:
        """Start it: the fields of ExecStart."""
        from stockade.sandbox.v1 import exec_service_pb2 as pb

        request = pb.ExecRequest(start=pb.ExecStart(sandbox=self._sandbox.name, **start))
        return await self._open("Exec", pb.ExecRequest, request)

    async def attach(self, exec: str, offset: int) -> AsyncProcess:
        """Follow one that was started before, its output from byte `offset` on."""
        from stockade.sandbox.v1 import exec_service_pb2 as pb

        self._offset = offset
        attach = pb.ExecAttach(sandbox=self._sandbox.name, exec=exec, offset=offset)
        return await self._open("AttachExec", pb.AttachExecRequest, pb.AttachExecRequest(attach=attach))

    async def _open(self, method: str, request: Any, first: Any) -> AsyncProcess:
        from stockade.sandbox.v1 import exec_service_pb2_grpc

        stub = self._sandbox.stub(exec_service_pb2_grpc.ExecServiceStub)
        self._request = request

        async def begin(metadata: Metadata) -> Any:
            self._call = getattr(stub, method)(metadata=metadata)
            await self._call.write(first)
            return (await self._call.read()).started

        started = await self._sandbox.call(begin)
        self.exec, self.pid = started.exec, started.pid
        return self

    async def write(self, data: bytes) -> None:
        """Give it input."""
        await self._tell(stdin=data)

    async def close_stdin(self) -> None:
        """End its input."""
        await self._tell(close_stdin=True)

    def feeding(self, data: bytes) -> AbstractAsyncContextManager[None]:
        """While the block runs, give it `data` piece by piece as it takes it, and then the end of its input."""
        return self.sending(_inputs(data))

    @asynccontextmanager
    async def sending(self, inputs: AsyncIterator[exec_service_pb2.ExecInput]) -> AsyncIterator[None]:
        """While the block runs, give it inputs of the contract as they come, until it ends."""

        async def send() -> None:
            with suppress(StockadeError, asyncio.InvalidStateError):  # grpc.aio's ways to say that it has ended
                async for each in inputs:
                    await self.send(each)

        task = asyncio.create_task(send())
        try:
            yield
        finally:
            task.cancel()

    async def signal(self, number: int, *, group: bool = False) -> None:
        """Send it a signal; with `group` its process group too."""
        await self._tell(signal={"signal": number, "group": group})

    async def resize(self, rows: int, columns: int) -> None:
        """Say how large its terminal is."""
        await self._tell(resize={"rows": rows, "columns": columns})

    async def events(self) -> AsyncGenerator[Any, None]:
        """Yield the contract's events, ExecResponse or AttachExecResponse, until the program has ended."""
        from stockade_agent.sandbox import Ending

        while self.ending is None:
            event = await self._next()
            kind = event.WhichOneof("event")
            if kind in ("stdout", "stderr"):
                output = getattr(event, kind)
                self._offset = output.offset + len(output.data)
            elif kind == "ended":
                self.ending = Ending.of(event.ended)
                await self._call.code()  # it is over: leaving the block cancels nothing
            yield event

    async def output(self) -> AsyncGenerator[tuple[Stream, bytes], None]:
        """Yield each piece of output as it comes, until the program has ended."""
        async with aclosing(self.events()) as events:
            async for event in events:
                match event.WhichOneof("event"):
                    case "stdout":
                        yield "stdout", event.stdout.data
                    case "stderr":
                        yield "stderr", event.stderr.data

    async def wait(self, on_output: Callable[[Stream, bytes], None] | None = None) -> Result:
        """Its end, and the output that nobody has read from `output`; `on_output` gets each piece as it comes."""
        from stockade_agent.sandbox import Result

        kept: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
        async with aclosing(self.output()) as pieces:
            async for stream, data in pieces:
                kept[stream].append(data)
                if on_output is not None:
                    on_output(stream, data)
        assert self.ending is not None, "output ends with the ending or an error"
        return Result(b"".join(kept["stdout"]), b"".join(kept["stderr"]), self.ending)

    def let_go(self) -> None:
        """Stop following it: it runs on where it was started with `detach`, and can be attached to."""
        self._detached = True
        self._call.cancel()

    async def cancel(self) -> None:
        """End it and all that it started."""
        if self.ending is None and not self._detached:
            self._call.cancel()

    async def send(self, entry: exec_service_pb2.ExecInput) -> None:
        """Give it any input of the contract."""
        try:
            with typed_errors():
                await self._call.write(self._request(input=entry))
        except StockadeError:
            self._unsent = True
            raise

    async def _tell(self, **entry: Any) -> None:
        from stockade.sandbox.v1 import exec_service_pb2

        await self.send(exec_service_pb2.ExecInput(**entry))

    async def _next(self) -> Any:
        """The next event. In grpc.aio, input that a program no longer took spoils the call, and what it still has to
        tell with it: then the program is attached to, from where its output was read to."""
        try:
            with typed_errors():
                return await self._call.read()
        except StockadeError:
            if not self._unsent:
                raise
            self._unsent = False
            await self.attach(self.exec, self._offset)
            return await self._next()

    async def __aenter__(self) -> AsyncProcess:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.cancel()


class AsyncCommands:
    """Starts, lists and attaches to programs of a sandbox, for code that awaits."""

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox

    async def start(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 the sandbox keeps it, not this loop
        detach: bool = False,
    ) -> AsyncProcess:
        """Start a program. With `detach` it outlives this connection; else it is cancelled with it."""
        from stockade_agent.sandbox import command

        program = command(args, env, cwd, timeout)
        return await AsyncProcess(self._sandbox).start(command=program, detach_on_cancel=detach)

    async def attach(self, exec: str, *, offset: int = 0) -> AsyncProcess:
        """Follow a program that runs or has ended; its output from byte `offset` on."""
        return await AsyncProcess(self._sandbox).attach(exec, offset)

    async def list(self) -> list[ProcessInfo]:
        """The programs that run, and those whose end is still known."""
        from stockade.sandbox.v1 import exec_service_pb2, exec_service_pb2_grpc

        request = exec_service_pb2.ListExecsRequest(sandbox=self._sandbox.name)
        stub = self._sandbox.stub(exec_service_pb2_grpc.ExecServiceStub)
        answer = await self._sandbox.call(lambda metadata: stub.ListExecs(request, metadata=metadata))
        return [_info(each) for each in answer.execs]


class AsyncPty:
    """Starts programs on a terminal, for code that awaits."""

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox

    async def open(
        self,
        *args: str,
        rows: int = 24,
        columns: int = 80,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 the sandbox keeps it, not this loop
        detach: bool = False,
    ) -> AsyncProcess:
        """Start a program, by default `sh`, on a terminal of that size. What it writes is all `stdout`."""
        from stockade.sandbox.v1 import exec_service_pb2

        from stockade_agent.sandbox import command

        program = command(args or ("sh",), {"TERM": "xterm", **(env or {})}, cwd, timeout)
        program.terminal.CopyFrom(exec_service_pb2.TerminalSize(rows=rows, columns=columns))
        return await AsyncProcess(self._sandbox).start(command=program, detach_on_cancel=detach)


class Process:
    """`AsyncProcess` for code that blocks."""

    def __init__(self, inner: AsyncProcess, portal: Portal) -> None:
        self._inner, self._portal = inner, portal

    write = blocking(AsyncProcess.write)
    close_stdin = blocking(AsyncProcess.close_stdin)
    signal = blocking(AsyncProcess.signal)
    resize = blocking(AsyncProcess.resize)
    wait = blocking(AsyncProcess.wait)
    cancel = blocking(AsyncProcess.cancel)

    @property
    def exec(self) -> str:
        """Its id, by which it can be attached to."""
        return self._inner.exec

    @property
    def pid(self) -> int:
        """Its process id in the sandbox."""
        return self._inner.pid

    @property
    def ending(self) -> Ending | None:
        """How it ended; None until `output` or `wait` came to that."""
        return self._inner.ending

    def output(self) -> Iterator[tuple[Stream, bytes]]:
        """As `AsyncProcess.output`."""
        return self._portal.iterate(aclosing(self._inner.output()))

    def let_go(self) -> None:
        """As `AsyncProcess.let_go`."""
        self._portal.call(self._inner.let_go)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.cancel()


class Commands:
    """`AsyncCommands` for code that blocks."""

    def __init__(self, inner: AsyncCommands, portal: Portal) -> None:
        self._inner, self._portal = inner, portal

    list = blocking(AsyncCommands.list)

    def start(self, *args: str, **how: Any) -> Process:
        """As `AsyncCommands.start`."""
        return Process(self._portal.run(self._inner.start(*args, **how)), self._portal)

    def attach(self, exec: str, *, offset: int = 0) -> Process:
        """As `AsyncCommands.attach`."""
        return Process(self._portal.run(self._inner.attach(exec, offset=offset)), self._portal)


class Pty:
    """`AsyncPty` for code that blocks."""

    def __init__(self, inner: AsyncPty, portal: Portal) -> None:
        self._inner, self._portal = inner, portal

    def open(self, *args: str, **how: Any) -> Process:
        """As `AsyncPty.open`."""
        return Process(self._portal.run(self._inner.open(*args, **how)), self._portal)


async def _inputs(data: bytes) -> AsyncIterator[exec_service_pb2.ExecInput]:
    from stockade.sandbox.v1 import exec_service_pb2

    for at in range(0, len(data), CHUNK_BYTES):
        yield exec_service_pb2.ExecInput(stdin=data[at : at + CHUNK_BYTES])
    yield exec_service_pb2.ExecInput(close_stdin=True)


def _info(message: exec_service_pb2.ExecInfo) -> ProcessInfo:
    from stockade.sandbox.v1 import exec_service_pb2

    from stockade_agent.sandbox import Ending

    return ProcessInfo(
        exec=message.exec,
        args=tuple(message.args),
        state=exec_service_pb2.ExecState.Name(message.state).removeprefix("EXEC_STATE_"),
        pid=message.pid,
        terminal=message.terminal,
        ending=Ending.of(message.ending) if message.HasField("ending") else None,
    )
