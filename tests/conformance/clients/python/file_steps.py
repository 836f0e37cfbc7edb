"""Steps on files and archives."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from context import Context
from stockade.sandbox.v1 import file_service_pb2 as pb
from stockade.sandbox.v1 import file_service_pb2_grpc

CHUNK_BYTES = 256 * 1024


def service(context: Context) -> Any:
    return context.stub(file_service_pb2_grpc.FileServiceStub, "sandbox")


def files(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Writes a file, looks at it, reads a range, lists its directory by pages of one, moves and removes it."""
    path, moved = given["path"], given["path"] + ".moved"
    write(context, path, given["text"].encode())
    info = service(context).StatFile(pb.StatFileRequest(sandbox=context.sandbox, path=path)).info
    part = read(context, path, given["offset"], given["length"])
    names = list(listed(context, path.rpartition("/")[0]))
    service(context).MoveFile(pb.MoveFileRequest(sandbox=context.sandbox, source=path, destination=moved))
    service(context).RemoveFile(pb.RemoveFileRequest(sandbox=context.sandbox, path=moved))
    return {
        "size": info.size_bytes,
        "kind": pb.FileInfo.Kind.Name(info.kind),
        "range": part.decode(),
        "names": names,
        "left": list(listed(context, path.rpartition("/")[0])),
    }


def read_file(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    return {"text": read(context, given["path"]).decode()}


def copy(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Copies a local file in and out again."""
    write(context, given["path"], Path(given["source"]).read_bytes())
    back = read(context, given["path"])
    return {"bytes": len(back), "sha256": hashlib.sha256(back).hexdigest()}


def archive(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Unpacks an archive, reads one of its files, and packs it again."""
    start = pb.UploadArchiveRequest(start=pb.UploadArchiveStart(sandbox=context.sandbox, path=given["path"]))
    data = pb.UploadArchiveRequest(data=base64.b64decode(given["archive"]))
    unpacked = service(context).UploadArchive(iter([start, data]))
    text = read(context, f"{given['path']}/{given['member']}").decode()
    packed, summary = b"", pb.ArchiveSummary()
    for part in service(context).DownloadArchive(
        pb.DownloadArchiveRequest(sandbox=context.sandbox, path=given["path"])
    ):
        packed += part.data
        summary = part.summary
    return {
        "unpacked": unpacked.unpacked_bytes,
        "text": text,
        "packed": summary.content_bytes,
        "tar": packed[257:262].decode(),
    }


def write(context: Context, path: str, data: bytes) -> None:
    def requests() -> Iterator[pb.WriteFileRequest]:
        yield pb.WriteFileRequest(start=pb.WriteFileStart(sandbox=context.sandbox, path=path, parents=True))
        for at in range(0, len(data), CHUNK_BYTES):
            yield pb.WriteFileRequest(data=data[at : at + CHUNK_BYTES])
        yield pb.WriteFileRequest(finish=True)

    service(context).WriteFile(requests())


def read(context: Context, path: str, offset: int = 0, length: int = 0) -> bytes:
    request = pb.ReadFileRequest(sandbox=context.sandbox, path=path, offset=offset, length=length)
    return b"".join(message.data for message in service(context).ReadFile(request))


def listed(context: Context, path: str) -> Iterator[str]:
    request = pb.ListFilesRequest(sandbox=context.sandbox, path=path, page_size=1)
    while True:
        page = service(context).ListFiles(request)
        yield from (info.path for info in page.files)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
