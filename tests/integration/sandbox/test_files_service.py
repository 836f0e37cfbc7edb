"""FileService as its callers see it: what comes back is what went in, and what is refused says why."""

import hashlib
import io
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from stockade.sandbox.v1 import file_service_pb2 as pb
from stockade_rpckit.errors import details_of

from support.sandbox_service import Caller, ServedSandboxes

pytestmark = pytest.mark.docker

HOME = "/workspace"
MIB = 1 << 20
Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(scope="module")
def sandbox(served: ServedSandboxes) -> Iterator[str]:
    ada = served.operator()
    name = ada.create(agent="clerk").name
    yield name
    ada.delete(name)


def write(caller: Caller, sandbox: str, path: str, data: bytes, **start: Any) -> pb.FileInfo:
    pieces = [pb.WriteFileRequest(data=data[n : n + MIB]) for n in range(0, len(data), MIB)]
    begin = pb.WriteFileRequest(start={"sandbox": sandbox, "path": path, **start})
    return caller.files.WriteFile(iter([begin, *pieces, pb.WriteFileRequest(finish=True)])).info


def read(caller: Caller, sandbox: str, path: str, **fields: Any) -> tuple[pb.FileInfo, bytes]:
    answers = list(caller.files.ReadFile(pb.ReadFileRequest(sandbox=sandbox, path=path, **fields)))
    assert answers[0].HasField("info")
    return answers[0].info, b"".join(answer.data for answer in answers[1:])


def upload(caller: Caller, sandbox: str, archive: bytes, **start: Any) -> pb.UploadArchiveResponse:
    pieces = [pb.UploadArchiveRequest(data=archive[n : n + MIB]) for n in range(0, len(archive), MIB)]
    begin = pb.UploadArchiveRequest(start={"sandbox": sandbox, "path": f"{HOME}/unpacked", **start})
    return caller.files.UploadArchive(iter([begin, *pieces]))


def member(name: str, content: bytes = b"", **fields: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar(*members: Member, mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 5 * MIB + 7])
def test_what_is_read_is_what_was_written(ada: Caller, sandbox: str, size: int) -> None:
    data = os.urandom(size)
    info = write(ada, sandbox, f"{HOME}/blob", data, mode=0o640)
    assert (info.kind, info.size_bytes, info.mode) == (pb.FileInfo.KIND_FILE, size, 0o640)
    assert read(ada, sandbox, f"{HOME}/blob") == (info, data)


def test_a_range(ada: Caller, sandbox: str) -> None:
    write(ada, sandbox, f"{HOME}/digits", b"0123456789")
    assert read(ada, sandbox, f"{HOME}/digits", offset=3, length=4)[1] == b"3456"
    assert read(ada, sandbox, f"{HOME}/digits", offset=8)[1] == b"89"
    assert read(ada, sandbox, f"{HOME}/digits", offset=99)[1] == b""


def test_appending_and_missing_directories(ada: Caller, sandbox: str) -> None:
    path = f"{HOME}/new/deep/log"
    assert _refusal(lambda: write(ada, sandbox, path, b"x")) == ("NOT_FOUND", "FILE_NOT_FOUND")
    write(ada, sandbox, path, b"one\n", parents=True)
    write(ada, sandbox, path, b"two\n", append=True)
    assert read(ada, sandbox, path)[1] == b"one\ntwo\n"


def test_a_write_that_breaks_leaves_the_old_file_and_nothing_else(
    ada: Caller, sandbox: str, served: ServedSandboxes
) -> None:
    write(ada, sandbox, f"{HOME}/kept/file", b"old", parents=True)

    def broken() -> Iterator[pb.WriteFileRequest]:
        yield pb.WriteFileRequest(start={"sandbox": sandbox, "path": f"{HOME}/kept/file"})
        yield pb.WriteFileRequest(data=b"new" * 1000)
        time.sleep(0.3)
        raise RuntimeError("the caller breaks")

    with pytest.raises(grpc.RpcError):
        ada.files.WriteFile(broken())
    time.sleep(0.3)
    assert read(ada, sandbox, f"{HOME}/kept/file")[1] == b"old"
    unseen = [] if served.tier == "RUNC" else ["-I", ".stockade.*"]  # gVisor's kernel has no file without a name
    assert ada.run(sandbox, "ls", "-A", *unseen, f"{HOME}/kept").stdout == b"file\n"


def test_directories_are_made_listed_moved_and_removed(ada: Caller, sandbox: str) -> None:
    base = f"{HOME}/tree"
    made = ada.files.MakeDirectory(pb.MakeDirectoryRequest(sandbox=sandbox, path=f"{base}/a/b", parents=True)).info
    assert (made.kind, made.path) == (pb.FileInfo.KIND_DIRECTORY, f"{base}/a/b")
    ada.run(sandbox, "ln", "-s", "/nowhere", f"{base}/link")
    for n in range(5):
        write(ada, sandbox, f"{base}/f{n}", b"x" * n)
    first = ada.files.ListFiles(pb.ListFilesRequest(sandbox=sandbox, path=base, page_size=4))
    second = ada.files.ListFiles(pb.ListFilesRequest(sandbox=sandbox, path=base, page_token=first.next_page_token))
    assert [info.path for info in [*first.files, *second.files]] == ["a", "f0", "f1", "f2", "f3", "f4", "link"]
    assert (second.files[-1].kind, second.files[-1].link_target) == (pb.FileInfo.KIND_LINK, "/nowhere")
    assert not second.next_page_token

    move = pb.MoveFileRequest(sandbox=sandbox, source=f"{base}/f4", destination=f"{base}/f0")
    assert _refusal(lambda: ada.files.MoveFile(move)) == ("ALREADY_EXISTS", "FILE_REFUSED")
    move.replace = True
    assert ada.files.MoveFile(move).info.size_bytes == 4

    remove = pb.RemoveFileRequest(sandbox=sandbox, path=base)
    assert _refusal(lambda: ada.files.RemoveFile(remove)) == ("FAILED_PRECONDITION", "FILE_REFUSED")
    remove.recursive = True
    ada.files.RemoveFile(remove)
    assert _refusal(lambda: ada.files.RemoveFile(remove)) == ("NOT_FOUND", "FILE_NOT_FOUND")
    remove.allow_missing = True
    ada.files.RemoveFile(remove)


REFUSED = {
    "the read-only root": ("/etc/x", "FAILED_PRECONDITION", "FILE_REFUSED"),
    "a directory in place of a file": (HOME, "FAILED_PRECONDITION", "FILE_REFUSED"),
    "the sandbox's own directory": ("/run/stockade/x", "FAILED_PRECONDITION", "FILE_REFUSED"),
    "a relative path": ("x", "INVALID_ARGUMENT", "INVALID_REQUEST"),
    "a NUL": ("/a\0b", "INVALID_ARGUMENT", "INVALID_REQUEST"),
}


@pytest.mark.parametrize(("path", "code", "reason"), REFUSED.values(), ids=REFUSED)
def test_where_nothing_is_written(
    ada: Caller, sandbox: str, served: ServedSandboxes, path: str, code: str, reason: str
) -> None:
    if served.tier == "GVISOR":  # its kernel looks at the rights of a directory before what it is mounted as
        code = code.replace("FAILED_PRECONDITION", "PERMISSION_DENIED")
    assert _refusal(lambda: write(ada, sandbox, path, b"x")) == (code, reason)


def test_a_full_disk_is_told(ada: Caller, sandbox: str) -> None:
    assert _refusal(lambda: write(ada, sandbox, f"{HOME}/big", bytes(200 * MIB))) == ("RESOURCE_EXHAUSTED", "DISK_FULL")
    assert ada.run(sandbox, "ls", f"{HOME}/big").ending.exit_code != 0
    write(ada, sandbox, f"{HOME}/small", b"there is room again")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_goes_in_and_comes_out(ada: Caller, sandbox: str, mode: str) -> None:
    blob = os.urandom(3 * MIB)
    sent = tar(
        member("dir", type=tarfile.DIRTYPE, mode=0o755),
        member("dir/blob", blob, mode=0o4755, uid=0),
        member("./dir/sub/text", b"text", mode=0o600),
        member("dir/soft", type=tarfile.SYMTYPE, linkname="sub/text"),
        member("hard", type=tarfile.LNKTYPE, linkname="dir/blob"),
        mode=mode,
    )
    target = f"{HOME}/in-{mode[2:]}"
    answer = upload(ada, sandbox, sent, path=target)
    assert (answer.files, answer.unpacked_bytes) == (5, len(blob) + 4)
    info, content = read(ada, sandbox, f"{target}/hard")
    assert hashlib.sha256(content).digest() == hashlib.sha256(blob).digest()
    assert info.mode == 0o755, "no setuid bit"
    assert read(ada, sandbox, f"{target}/dir/soft")[1] == b"text"

    request = pb.DownloadArchiveRequest(sandbox=sandbox, path=target, gzip=mode == "w:gz")
    answers = list(ada.files.DownloadArchive(request))
    packed = b"".join(answer.data for answer in answers)
    assert answers[-1].summary.files == 6
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert set(archive.getnames()) == {"dir", "dir/blob", "dir/sub", "dir/sub/text", "dir/soft", "hard"}
        assert archive.extractfile("dir/blob").read() == blob  # type: ignore[union-attr]


HOSTILE: dict[str, tuple[Member, ...]] = {
    "an absolute path": (member("/tmp/x", b"x"),),
    "a way up": (member("a/../../x", b"x"),),
    "a device": (member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),),
    "a pipe": (member("pipe", type=tarfile.FIFOTYPE),),
    "an absolute link": (member("l", type=tarfile.SYMTYPE, linkname="/etc"),),
    "a link up": (member("a/l", type=tarfile.SYMTYPE, linkname="../../x"),),
    "through a link": (member("l", type=tarfile.SYMTYPE, linkname="d"), member("l/x", b"x")),
    "a hard link to a link": (
        member("l", type=tarfile.SYMTYPE, linkname="d"),
        member("h", type=tarfile.LNKTYPE, linkname="l"),
    ),
    "a hard link out": (member("h", type=tarfile.LNKTYPE, linkname="/etc/passwd"),),
    "a hard link to nothing": (member("h", type=tarfile.LNKTYPE, linkname="nothing"),),
    "too deep": (member("/".join("abcdefghij" * 8), b"x"),),
    "too many": tuple(member(f"f{n}") for n in range(101)),
    "too large": (member("large", bytes(MIB + 1)),),
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_an_archive_that_is_refused(ada: Caller, sandbox: str, members: tuple[Member, ...]) -> None:
    archive = tar(member("d/", type=tarfile.DIRTYPE, mode=0o755), *members)
    refused = _refusal(lambda: upload(ada, sandbox, archive, max_files=100, max_bytes=MIB))
    assert refused == ("INVALID_ARGUMENT", "ARCHIVE_REFUSED")


def test_a_bomb_is_refused_at_its_limit(ada: Caller, sandbox: str) -> None:
    bomb = tar(member("zeros", bytes(80 * MIB)), mode="w:gz")
    assert len(bomb) < MIB
    assert _refusal(lambda: upload(ada, sandbox, bomb, max_bytes=10 * MIB)) == ("INVALID_ARGUMENT", "ARCHIVE_REFUSED")


@pytest.mark.parametrize("garbage", [b"garbage" * 1000, tar(member("x", b"y" * 5000))[:2000], b"\x1f\x8b" + bytes(600)])
def test_a_damaged_archive_is_refused(ada: Caller, sandbox: str, garbage: bytes) -> None:
    assert _refusal(lambda: upload(ada, sandbox, garbage)) == ("INVALID_ARGUMENT", "ARCHIVE_REFUSED")


def test_changes_are_told(ada: Caller, sandbox: str) -> None:
    ada.run(sandbox, "mkdir", "-p", f"{HOME}/watched/sub")
    call = ada.files.WatchFiles(pb.WatchFilesRequest(sandbox=sandbox, path=f"{HOME}/watched", recursive=True))
    assert not next(call).changes, "the watch is in place"
    ada.run(sandbox, "sh", "-c", f"cd {HOME}/watched; echo a > sub/f; mkdir new; sleep 0.2; echo b > new/g; rm sub/f")
    seen: set[tuple[int, str]] = set()
    wanted = {
        (pb.FileChange.KIND_CREATED, "sub/f"),
        (pb.FileChange.KIND_WRITTEN, "sub/f"),
        (pb.FileChange.KIND_CREATED, "new"),
        (pb.FileChange.KIND_CREATED, "new/g"),
        (pb.FileChange.KIND_REMOVED, "sub/f"),
    }
    stop = threading.Timer(10, call.cancel)
    stop.start()
    while not wanted <= seen:
        seen |= {(change.kind, change.path) for change in next(call).changes}
    stop.cancel()
    call.cancel()


def test_an_agent_reads_its_own_sandbox_only(served: ServedSandboxes, sandbox: str) -> None:
    request = pb.StatFileRequest(sandbox=sandbox, path=HOME)
    assert served.agent("clerk", sandbox).files.StatFile(request).info.kind == pb.FileInfo.KIND_DIRECTORY
    stranger = served.agent("stranger", sandbox)
    assert _refusal(lambda: stranger.files.StatFile(request)) == ("NOT_FOUND", "SANDBOX_NOT_FOUND")


def _refusal(call: Any) -> tuple[object, object]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    details = details_of(caught.value)
    return details["code"], details.get("reason")
