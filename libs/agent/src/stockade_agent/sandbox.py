"""A sandbox: created, used, deleted."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stockade_agent.archive import pack, unpack
from stockade_agent.client import NODE_HEADER, blocking, trace_metadata, typed_errors
from stockade_agent.ending import Ending as Ending
from stockade_agent.ending import Result as Result
from stockade_agent.errors import StockadeError

if TYPE_CHECKING:
    from types import TracebackType

    import grpc
    from stockade.sandbox.v1 import exec_service_pb2, sandbox_pb2

    from stockade_agent.client import AsyncStockade, Portal
    from stockade_agent.files import AsyncFiles, Files
    from stockade_agent.processes import AsyncCommands, AsyncProcess, AsyncPty, Commands, Pty, Stream

R = TypeVar("R")
Metadata = tuple[tuple[str, str], ...]

WORKSPACE = "/workspace"
_SPOOL_BYTES = 16 * 1024 * 1024


class AsyncSandbox:
    """A sandbox, for code that awaits.

    As an async context manager it is created on entering and deleted on leaving, whatever happens in between.
    """

    def __init__(
        self,
        stockade: AsyncStockade,
        *,
        agent: str,
        agent_type: str = "default",
        image: str = "",
        network_mode: str = "",
        allowed_domains: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        lifetime: timedelta | None = None,
        idle_timeout: timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        cpu: float = 0,
        memory_bytes: int = 0,
        disk_bytes: int = 0,
        pids: int = 0,
        least_tier: str = "",
    ) -> None:
        """What to ask for: see CreateSandboxRequest in `stockade.sandbox.v1`. What is left out is the profile's."""
        self._stockade = stockade
        self._request: dict[str, Any] = {
            "agent": agent,
            "agent_type": agent_type,
            "image": image,
            "network_mode": f"NETWORK_MODE_{network_mode.upper() or 'UNSPECIFIED'}",
            "allowed_domains": allowed_domains,
            "env": env or {},
            "lifetime": lifetime,
            "idle_timeout": idle_timeout,
            "labels": labels or {},
            "least_tier": f"TIER_{least_tier.upper() or 'UNSPECIFIED'}",
            "limits": {"cpu": cpu, "memory_bytes": memory_bytes, "disk_bytes": disk_bytes, "pids": pids},
        }
        self.info: sandbox_pb2.Sandbox | None = None
        """The sandbox as the service described it last; None before it is created."""

    @classmethod
    def existing(cls, stockade: AsyncStockade, name: str) -> AsyncSandbox:
        """One that was created before, by its name."""
        from stockade.sandbox.v1 import sandbox_pb2

        return cls.described(stockade, sandbox_pb2.Sandbox(name=name))

    @classmethod
    def described(cls, stockade: AsyncStockade, info: sandbox_pb2.Sandbox) -> AsyncSandbox:
        """One that the service has just described."""
        found = cls(stockade, agent="")
        found.info = info
        return found

    @property
    def name(self) -> str:
        """Its name; empty before it is created."""
        return self.info.name if self.info else ""

    async def call(self, make: Callable[[Metadata], Awaitable[R]]) -> R:
        """Make a call that names it, led to its node; again where it is told to be on another. Raises StockadeError.

        `make` is given the call's metadata.
        """
        try:
            with typed_errors():
                return await make(self._metadata)
        except StockadeError as error:
            if not error.other_node or self.info is None:
                raise
            self.info.node = error.other_node
        with typed_errors():
            return await make(self._metadata)

    @property
    def _metadata(self) -> Metadata:
        """The caller's trace, and the node that a mesh leads a call to."""
        node = self.info.node if self.info else ""
        return (*trace_metadata(), *(((NODE_HEADER, node),) if node else ()))

    @property
    def commands(self) -> AsyncCommands:
        """Starts programs that run on while the caller does something else."""
        from stockade_agent.processes import AsyncCommands

        return AsyncCommands(self)

    @property
    def pty(self) -> AsyncPty:
        """Starts programs on a terminal."""
        from stockade_agent.processes import AsyncPty

        return AsyncPty(self)

    @property
    def files(self) -> AsyncFiles:
        """Its files."""
        from stockade_agent.files import AsyncFiles

        return AsyncFiles(self)

    async def create(self) -> sandbox_pb2.Sandbox:
        """Create it. Raises StockadeError."""
        from stockade.sandbox.v1 import sandbox_service_pb2

        # With an id of its own the request may be repeated, which the channel does while nobody answers.
        request = sandbox_service_pb2.CreateSandboxRequest(**self._request, request_id=uuid.uuid4().hex)
        with typed_errors():
            answer = await self._lifecycle.CreateSandbox(request, metadata=trace_metadata())
        created: sandbox_pb2.Sandbox = answer.sandbox
        self.info = created
        return created

    async def delete(self) -> sandbox_pb2.SandboxUsage:
        """End it; answers what it had used. Raises StockadeError."""
        from stockade.sandbox.v1 import sandbox_service_pb2

        request = sandbox_service_pb2.DeleteSandboxRequest(name=self.name)
        answer = await self.call(lambda metadata: self._lifecycle.DeleteSandbox(request, metadata=metadata))
        self.info = answer.sandbox
        usage: sandbox_pb2.SandboxUsage = answer.usage
        return usage

    async def run(
        self,
        *args: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 the sandbox keeps it, not this loop
        on_stdout: Callable[[bytes], None] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
    ) -> Result:
        """Run a program to its end.

        `timeout` in seconds; `on_stdout` and `on_stderr` get each piece of output as it comes, beside the result. A
        program that fails is no error: see `Result.ending`. Raises StockadeError when it could not be run.
        """
        listeners = {"stdout": on_stdout, "stderr": on_stderr}

        def on_output(stream: Stream, data: bytes) -> None:
            if (listener := listeners[stream]) is not None:
                listener(data)

        async with (
            await self._start(command(args, env, cwd, timeout), no_stdin=not stdin) as process,
            process.feeding(stdin) if stdin else nullcontext(),
        ):
            return await process.wait(on_output)

    async def exec(
        self, program: exec_service_pb2.Command, inputs: AsyncIterator[exec_service_pb2.ExecInput]
    ) -> AsyncGenerator[exec_service_pb2.ExecResponse, None]:
        """Start a program and yield what happens, while `inputs` (stdin, signals, sizes) are sent to it.

        Closing the iterator cancels the program. Raises StockadeError.
        """
        async with (
            await self._start(program) as process,
            process.sending(inputs),
            aclosing(process.events()) as events,
        ):
            async for event in events:
                yield event

    async def _start(self, program: exec_service_pb2.Command, **start: Any) -> AsyncProcess:
        from stockade_agent.processes import AsyncProcess

        return await AsyncProcess(self).start(command=program, **start)

    async def upload(
        self, source: Path | str, path: str = WORKSPACE, on_progress: Callable[[int], None] | None = None
    ) -> int:
        """Copy a local file, or what a directory holds, into a directory of the sandbox.

        Returns how many files and directories were made. `on_progress` hears how many bytes of the archive have been
        sent so far. Raises StockadeError.
        """
        from stockade.sandbox.v1 import file_service_pb2, file_service_pb2_grpc

        stub = self.stub(file_service_pb2_grpc.FileServiceStub)
        start = file_service_pb2.UploadArchiveStart(sandbox=self.name, path=path)

        async def requests() -> AsyncIterator[file_service_pb2.UploadArchiveRequest]:
            yield file_service_pb2.UploadArchiveRequest(start=start)
            sent = 0
            for chunk in pack(Path(source)):
                yield file_service_pb2.UploadArchiveRequest(data=chunk)
                sent += len(chunk)
                if on_progress is not None:
                    on_progress(sent)

        answer = await self.call(lambda metadata: stub.UploadArchive(requests(), metadata=metadata))
        return int(answer.files)

    async def download(self, path: str, directory: Path | str, on_progress: Callable[[int], None] | None = None) -> int:
        """Copy a file or directory of the sandbox into a local directory; links are left out.

        Returns how many files there were. `on_progress` hears how many bytes of the archive have come so far. Raises
        StockadeError.
        """
        from stockade.sandbox.v1 import file_service_pb2, file_service_pb2_grpc

        stub = self.stub(file_service_pb2_grpc.FileServiceStub)
        request = file_service_pb2.DownloadArchiveRequest(sandbox=self.name, path=path)
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:

            async def receive(metadata: Metadata) -> None:
                async for answer in stub.DownloadArchive(request, metadata=metadata):
                    spool.write(answer.data)
                    if on_progress is not None:
                        on_progress(spool.tell())

            await self.call(receive)
            spool.seek(0)
            return unpack(spool, Path(directory))

    async def snapshot(self, *, memory: bool = False) -> str:
        """Copy its files, and with `memory` what is in its memory (tier GVISOR); the snapshot's name.

        `AsyncStockade.restore` makes sandboxes of it. Raises StockadeError.
        """
        from stockade.sandbox.v1 import sandbox_service_pb2

        request = sandbox_service_pb2.CreateSnapshotRequest(name=self.name, with_memory=memory)
        answer = await self.call(lambda metadata: self._lifecycle.CreateSnapshot(request, metadata=metadata))
        return str(answer.snapshot.name)

    async def fork(self, count: int = 1, *, request_id: str = "") -> list[AsyncSandbox]:
        """`count` new sandboxes that go on from where this one is, memory included (tier GVISOR); it runs on itself.

        The same `request_id` answers with the same sandboxes. Raises StockadeError.
        """
        from stockade.sandbox.v1 import sandbox_service_pb2

        request = sandbox_service_pb2.ForkSandboxRequest(name=self.name, count=count, request_id=request_id)
        answer = await self.call(lambda metadata: self._lifecycle.ForkSandbox(request, metadata=metadata))
        return [AsyncSandbox.described(self._stockade, info) for info in answer.sandboxes]

    async def usage(self) -> sandbox_pb2.SandboxUsage:
        """What it has used so far. Raises StockadeError."""
        from stockade.sandbox.v1 import sandbox_service_pb2

        request = sandbox_service_pb2.GetSandboxUsageRequest(name=self.name)
        answer = await self.call(lambda metadata: self._lifecycle.GetSandboxUsage(request, metadata=metadata))
        usage: sandbox_pb2.SandboxUsage = answer.usage
        return usage

    def stub(self, kind: Callable[[grpc.aio.Channel], Any]) -> Any:
        """A generated stub of one of the sandbox service's contracts."""
        return self._stockade.stub(kind, "sandbox")

    @property
    def _lifecycle(self) -> Any:
        from stockade.sandbox.v1 import sandbox_service_pb2_grpc

        return self.stub(sandbox_service_pb2_grpc.SandboxServiceStub)

    async def __aenter__(self) -> AsyncSandbox:
        await self.create()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.delete()


class Sandbox:
    """A sandbox, for code that blocks: `AsyncSandbox` without `await`, for `with`."""

    def __init__(self, inner: AsyncSandbox, portal: Portal) -> None:
        self._inner, self._portal = inner, portal

    create = blocking(AsyncSandbox.create)
    delete = blocking(AsyncSandbox.delete)
    run = blocking(AsyncSandbox.run)
    upload = blocking(AsyncSandbox.upload)
    download = blocking(AsyncSandbox.download)
    snapshot = blocking(AsyncSandbox.snapshot)
    usage = blocking(AsyncSandbox.usage)

    def fork(self, count: int = 1, *, request_id: str = "") -> list[Sandbox]:
        """As `AsyncSandbox.fork`."""
        forks = self._portal.run(self._inner.fork(count, request_id=request_id))
        return [Sandbox(fork, self._portal) for fork in forks]

    @property
    def commands(self) -> Commands:
        """As `AsyncSandbox.commands`."""
        from stockade_agent.processes import Commands

        return Commands(self._inner.commands, self._portal)

    @property
    def pty(self) -> Pty:
        """As `AsyncSandbox.pty`."""
        from stockade_agent.processes import Pty

        return Pty(self._inner.pty, self._portal)

    @property
    def files(self) -> Files:
        """As `AsyncSandbox.files`."""
        from stockade_agent.files import Files

        return Files(self._inner.files, self._portal)

    @property
    def name(self) -> str:
        """Its name; empty before it is created."""
        return self._inner.name

    @property
    def info(self) -> sandbox_pb2.Sandbox | None:
        """The sandbox as the service described it last; None before it is created."""
        return self._inner.info

    def __enter__(self) -> Sandbox:
        self.create()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()


def command(
    args: tuple[str, ...], env: Mapping[str, str] | None, cwd: str, timeout: timedelta | float | None
) -> exec_service_pb2.Command:
    """The contract's message; `timeout` in seconds."""
    from stockade.sandbox.v1 import exec_service_pb2

    limit = timedelta(seconds=timeout) if isinstance(timeout, int | float) else timeout
    return exec_service_pb2.Command(args=args, env=env or {}, cwd=cwd, timeout=limit)
