"""Files of a sandbox: `sandbox.files`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stockade_agent.archive import CHUNK_BYTES
from stockade_agent.client import blocking, typed_errors

if TYPE_CHECKING:
    from stockade.sandbox.v1 import file_service_pb2

    from stockade_agent.client import Portal
    from stockade_agent.sandbox import AsyncSandbox, Metadata


@dataclass(frozen=True)
class FileInfo:
    """A file: `kind` is FILE, DIRECTORY, SYMLINK or OTHER; `mode` its permission bits."""

    path: str
    kind: str
    size_bytes: int
    mode: int
    modified: datetime
    link_target: str

    @staticmethod
    def of(message: file_service_pb2.FileInfo) -> FileInfo:
        """From the contract's message."""
        return FileInfo(
            path=message.path,
            kind=type(message).Kind.Name(message.kind).removeprefix("KIND_"),
            size_bytes=message.size_bytes,
            mode=message.mode,
            modified=message.modify_time.ToDatetime(tzinfo=UTC),
            link_target=message.link_target,
        )


@dataclass(frozen=True)
class FileChange:
    """What happened to a file: `kind` is CREATED, WRITTEN, ATTRIBUTES or REMOVED."""

    kind: str
    path: str
    directory: bool


class AsyncFiles:
    """Reads and writes files of a sandbox, for code that awaits. Paths are absolute.

    Every method raises StockadeError, e.g. NotFound where nothing is at the path.
    """

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox

    async def read(self, path: str, *, offset: int = 0, length: int = 0) -> bytes:
        """The content of a file, from `offset` on; at most `length` bytes of it where that is not 0."""
        from stockade.sandbox.v1 import file_service_pb2

        request = file_service_pb2.ReadFileRequest(sandbox=self._sandbox.name, path=path, offset=offset, length=length)

        async def receive(metadata: Metadata) -> bytes:
            return b"".join([answer.data async for answer in self._stub.ReadFile(request, metadata=metadata)])

        return await self._sandbox.call(receive)

    async def write(
        self, path: str, content: bytes, *, mode: int = 0, append: bool = False, parents: bool = False
    ) -> FileInfo:
        """Write a file, whole or not at all unless `append`; with `parents` its directories are made first.

        `mode` are its permission bits; 0 leaves what a file there has, else 0o644.
        """
        from stockade.sandbox.v1 import file_service_pb2

        start = file_service_pb2.WriteFileStart(
            sandbox=self._sandbox.name, path=path, mode=mode, append=append, parents=parents
        )

        async def requests() -> AsyncIterator[file_service_pb2.WriteFileRequest]:
            yield file_service_pb2.WriteFileRequest(start=start)
            for at in range(0, len(content), CHUNK_BYTES):
                yield file_service_pb2.WriteFileRequest(data=content[at : at + CHUNK_BYTES])
            yield file_service_pb2.WriteFileRequest(finish=True)

        answer = await self._sandbox.call(lambda metadata: self._stub.WriteFile(requests(), metadata=metadata))
        return FileInfo.of(answer.info)

    async def stat(self, path: str) -> FileInfo:
        """What is at a path; a link is not followed."""
        return FileInfo.of((await self._ask("StatFile", path=path)).info)

    async def list(self, path: str) -> list[FileInfo]:
        """What a directory holds, by name."""
        found: list[FileInfo] = []
        token = ""
        while True:
            answer = await self._ask("ListFiles", path=path, page_size=1000, page_token=token)
            found += map(FileInfo.of, answer.files)
            token = answer.next_page_token
            if not token:
                return found

    async def make_directory(self, path: str, *, parents: bool = False, mode: int = 0) -> FileInfo:
        """Make a directory; with `parents`, those above it too, and it may be there already."""
        return FileInfo.of((await self._ask("MakeDirectory", path=path, parents=parents, mode=mode)).info)

    async def move(self, source: str, destination: str, *, replace: bool = False) -> FileInfo:
        """Move a file; what is at `destination` stays, and that is an error, unless `replace`."""
        answer = await self._ask("MoveFile", source=source, destination=destination, replace=replace)
        return FileInfo.of(answer.info)

    async def remove(self, path: str, *, recursive: bool = False, allow_missing: bool = False) -> None:
        """Remove a file; a directory that is not empty only where `recursive`."""
        await self._ask("RemoveFile", path=path, recursive=recursive, allow_missing=allow_missing)

    async def watch(self, path: str, *, recursive: bool = False) -> AsyncGenerator[FileChange, None]:
        """Yield what changes in a directory, until the iterator is closed."""
        from grpc import aio
        from stockade.sandbox.v1 import file_service_pb2

        request = file_service_pb2.WatchFilesRequest(sandbox=self._sandbox.name, path=path, recursive=recursive)
        call: Any = None

        async def begin(metadata: Metadata) -> Any:
            nonlocal call
            call = self._stub.WatchFiles(request, metadata=metadata)
            return await call.read()

        try:
            answer = await self._sandbox.call(begin)
            while answer is not aio.EOF:
                for change in answer.changes:
                    kind = type(change).Kind.Name(change.kind).removeprefix("KIND_")
                    yield FileChange(kind, change.path, change.directory)
                with typed_errors():
                    answer = await call.read()
        finally:
            if call is not None:
                call.cancel()

    async def _ask(self, method: str, **fields: Any) -> Any:
        from stockade.sandbox.v1 import file_service_pb2

        request = getattr(file_service_pb2, f"{method}Request")(sandbox=self._sandbox.name, **fields)
        return await self._sandbox.call(lambda metadata: getattr(self._stub, method)(request, metadata=metadata))

    @property
    def _stub(self) -> Any:
        from stockade.sandbox.v1 import file_service_pb2_grpc

        return self._sandbox.stub(file_service_pb2_grpc.FileServiceStub)


class Files:
    """`AsyncFiles` for code that blocks."""

    def __init__(self, inner: AsyncFiles, portal: Portal) -> None:
        self._inner, self._portal = inner, portal

    read = blocking(AsyncFiles.read)
    write = blocking(AsyncFiles.write)
    stat = blocking(AsyncFiles.stat)
    list = blocking(AsyncFiles.list)
    make_directory = blocking(AsyncFiles.make_directory)
    move = blocking(AsyncFiles.move)
    remove = blocking(AsyncFiles.remove)

    def watch(self, path: str, *, recursive: bool = False) -> Iterator[FileChange]:
        """As `AsyncFiles.watch`."""
        return self._portal.iterate(aclosing(self._inner.watch(path, recursive=recursive)))
