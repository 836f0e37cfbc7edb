"""FileService: each RPC is one operation of the supervisor's, run like an exec, with its ending told as a status."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from grpc.aio import ServicerContext as Context
from stockade.sandbox.v1 import file_service_pb2 as pb
from stockade.sandbox.v1.file_service_pb2_grpc import FileServiceServicer
from stockade_rpckit.recording import current_record
from stockade_rpckit.tracing import tracer

from stockade_sandbox.domain.errors import PageTokenInvalid
from stockade_sandbox.handlers.exec import out_of_order, running
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.supervision import Supervision
from stockade_sandbox.supervision.operation import Operation

DEFAULT_UNPACKED_BYTES = 1 << 30
DEFAULT_UNPACKED_FILES = 100_000
DEFAULT_PAGE_SIZE = 1000


class FileHandler(FileServiceServicer):
    """See file_service.proto."""

    def __init__(self, sandboxes: Sandboxes, supervision: Supervision) -> None:
        self._sandboxes, self._supervision = sandboxes, supervision

    async def ReadFile(self, request: pb.ReadFileRequest, context: Context) -> AsyncIterator[pb.ReadFileResponse]:
        """Reads a file."""
        operation = await self._begin(request, context, "read", offset=request.offset, length=request.length)
        async with aclosing(operation.output()) as pieces:
            head, rest = await _first_line(pieces)
            if head is not None:
                yield pb.ReadFileResponse(info=_info(json.loads(head)))
                if rest:
                    yield pb.ReadFileResponse(data=rest)
            async for piece in pieces:
                yield pb.ReadFileResponse(data=piece)
        await operation.result()

    async def WriteFile(self, requests: AsyncIterator[pb.WriteFileRequest], context: Context) -> pb.WriteFileResponse:
        """Writes a file."""
        first = await anext(requests, None)
        if first is None or not first.HasField("start"):
            raise out_of_order("start")
        start = first.start
        operation = await self._begin(
            start, context, "write", mode=start.mode, append=start.append, parents=start.parents
        )
        return pb.WriteFileResponse(info=_info(await _upload(operation, requests, finish=True)))

    async def StatFile(self, request: pb.StatFileRequest, context: Context) -> pb.StatFileResponse:
        """Says what a path names."""
        return pb.StatFileResponse(info=_info(await self._do(request, context, "stat")))

    async def ListFiles(self, request: pb.ListFilesRequest, context: Context) -> pb.ListFilesResponse:
        """Lists a directory."""
        limit = request.page_size or DEFAULT_PAGE_SIZE
        operation = await self._begin(request, context, "list", limit=limit, after=_after(request))
        content = b"".join([piece async for piece in operation.output()])
        result = await operation.result()
        files = [_info(json.loads(line)) for line in content.splitlines()]
        token = files[-1].path.encode().hex() if files and result.get("more") else ""
        return pb.ListFilesResponse(files=files, next_page_token=token)

    async def MakeDirectory(self, request: pb.MakeDirectoryRequest, context: Context) -> pb.MakeDirectoryResponse:
        """Makes a directory."""
        result = await self._do(request, context, "mkdir", parents=request.parents, mode=request.mode)
        return pb.MakeDirectoryResponse(info=_info(result))

    async def MoveFile(self, request: pb.MoveFileRequest, context: Context) -> pb.MoveFileResponse:
        """Renames a file or directory."""
        result = await self._do(
            request, context, "move", path=request.source, destination=request.destination, replace=request.replace
        )
        return pb.MoveFileResponse(info=_info(result))

    async def RemoveFile(self, request: pb.RemoveFileRequest, context: Context) -> pb.RemoveFileResponse:
        """Removes a file or directory."""
        await self._do(request, context, "remove", recursive=request.recursive, allow_missing=request.allow_missing)
        return pb.RemoveFileResponse()

    async def WatchFiles(self, request: pb.WatchFilesRequest, context: Context) -> AsyncIterator[pb.WatchFilesResponse]:
        """Tells of changes."""
        operation = await self._begin(request, context, "watch", recursive=request.recursive)
        async with aclosing(operation.output()) as pieces:
            async for line in _lines(pieces):
                yield _changes(json.loads(line))
        await operation.result()

    async def UploadArchive(
        self, requests: AsyncIterator[pb.UploadArchiveRequest], context: Context
    ) -> pb.UploadArchiveResponse:
        """Unpacks a tar archive."""
        first = await anext(requests, None)
        if first is None or not first.HasField("start"):
            raise out_of_order("start")
        start = first.start
        operation = await self._begin(
            start,
            context,
            "unpack",
            max_bytes=start.max_bytes or DEFAULT_UNPACKED_BYTES,
            max_files=start.max_files or DEFAULT_UNPACKED_FILES,
        )
        result = await _upload(operation, requests)
        return pb.UploadArchiveResponse(files=result["files"], unpacked_bytes=result["bytes"])

    async def DownloadArchive(
        self, request: pb.DownloadArchiveRequest, context: Context
    ) -> AsyncIterator[pb.DownloadArchiveResponse]:
        """Packs a file or directory."""
        operation = await self._begin(request, context, "pack", gzip=request.gzip)
        async with aclosing(operation.output()) as pieces:
            async for piece in pieces:
                yield pb.DownloadArchiveResponse(data=piece)
        result = await operation.result()
        summary = pb.ArchiveSummary(files=result["files"], content_bytes=result["bytes"], skipped=result["skipped"])
        yield pb.DownloadArchiveResponse(summary=summary)

    async def _do(self, request: Any, context: Context, kind: str, **fields: object) -> Mapping[str, Any]:
        """An operation without input or output; what it says of itself."""
        operation = await self._begin(request, context, kind, **fields)
        async for _piece in operation.output():
            continue
        return await operation.result()

    async def _begin(self, request: Any, context: Context, kind: str, **fields: object) -> Operation:
        """Starts an operation on the request's path; it is killed when the caller goes away."""
        sandbox = running(self._sandboxes, request.sandbox)
        order = {"op": kind, **({} if "path" in fields else {"path": request.path}), **fields}
        current_record().set(sandbox=sandbox.name, resource=str(order["path"]))
        with tracer().start_as_current_span(f"sandbox.files.{kind}", attributes={"stockade.sandbox": sandbox.name}):
            operation = await Operation.begin(self._supervision, sandbox.name, order)
        context.add_done_callback(lambda _context: operation.cancel())
        return operation


async def _upload(operation: Operation, requests: AsyncIterator[Any], finish: bool = False) -> Mapping[str, Any]:
    """Passes a stream of bytes on to an operation; what it says at its end, which may come before the stream's.

    With `finish`, only that message ends the operation's input; a stream that ends without it cancels it.
    """

    async def pass_on() -> None:
        async for request in requests:
            match request.WhichOneof("content"):
                case "data":
                    await operation.write(request.data)
                case "finish":
                    return operation.close_input()
                case _:
                    operation.cancel()
                    raise out_of_order("data")
        if not finish:
            return operation.close_input()
        operation.cancel()
        raise out_of_order("finish")

    passing = asyncio.create_task(pass_on())
    try:
        async for _piece in operation.output():
            continue
        if passing.done():
            await passing
        return await operation.result()
    finally:
        passing.cancel()


async def _first_line(pieces: AsyncGenerator[bytes, None]) -> tuple[bytes | None, bytes]:
    """The first line, and what came with it after its end."""
    head = b""
    async for piece in pieces:
        head += piece
        line, end, rest = head.partition(b"\n")
        if end:
            return line, rest
    return None, b""


async def _lines(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line


def _after(request: pb.ListFilesRequest) -> str:
    """The name that the page before ended with; a page's token is that name in hex."""
    try:
        return bytes.fromhex(request.page_token).decode()
    except ValueError:
        raise PageTokenInvalid from None


def _changes(changes: list[Mapping[str, Any]]) -> pb.WatchFilesResponse:
    return pb.WatchFilesResponse(
        changes=[
            pb.FileChange(
                kind=f"KIND_{change['kind']}",
                path=change["path"],
                directory=change["directory"],
            )
            for change in changes
            if change["kind"] != "OVERFLOW"
        ],
        overflow=any(change["kind"] == "OVERFLOW" for change in changes),
    )


def _info(found: Mapping[str, Any]) -> pb.FileInfo:
    modified = Timestamp()
    modified.FromNanoseconds(found["modify_ns"])
    return pb.FileInfo(
        path=found["path"],
        kind=f"KIND_{found['kind']}",
        size_bytes=found["size"],
        mode=found["mode"],
        modify_time=modified,
        link_target=found["target"],
    )


DESCRIBE = {
    "WriteFile": lambda request: {"sandbox": request.start.sandbox, "resource": request.start.path},
    "UploadArchive": lambda request: {"sandbox": request.start.sandbox, "resource": request.start.path},
    "MoveFile": lambda request: {"sandbox": request.sandbox, "resource": request.source},
    "MakeDirectory": lambda request: {"sandbox": request.sandbox, "resource": request.path},
    "RemoveFile": lambda request: {"sandbox": request.sandbox, "resource": request.path},
}
