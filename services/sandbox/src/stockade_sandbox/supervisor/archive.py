"""Tar archives, in and out of one directory.

Unpacking walks from directory to directory by descriptor and never through a link, so that no member can land outside,
whatever links are there or come with the archive.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from .files import Refused, write_all

_CHUNK = 256 * 1024
_DEEPEST = 64


def unpack(path: str, max_bytes: int, max_files: int) -> dict[str, object]:
    """Unpacks standard input into `path`, which is made if need be."""
    os.makedirs(path, exist_ok=True)
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    unpacker = _Unpacker(root, max_bytes, max_files)
    try:
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as archive:
            for member in archive:
                unpacker.take(archive, member)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Refused(path, f"the archive is damaged: {error}") from error
    while sys.stdin.buffer.read(_CHUNK):  # what follows the end of an archive is padding
        pass
    return {"files": unpacker.files, "bytes": unpacker.bytes}


class _Unpacker:
    def __init__(self, root: int, max_bytes: int, max_files: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._max_files = max_files
        self.files = 0
        self.bytes = 0

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Unpacks one member. Raises Refused."""
        parts = _parts(member.name)
        self.files += 1
        self.bytes += member.size if member.isreg() else 0
        if self.files > self._max_files:
            raise Refused(member.name, f"the archive has more than {self._max_files} members")
        if self.bytes > self._max_bytes:
            raise Refused(member.name, f"the archive unpacks to more than {self._max_bytes} bytes")
        if not parts:
            return  # the directory itself
        if member.isdir():
            os.close(self._enter(parts, member.name))
        elif member.isreg():
            self._file(archive, member, parts)
        elif member.issym():
            self._link(member, parts)
        elif member.islnk():
            self._hard_link(member, parts)
        else:
            raise Refused(member.name, "devices and pipes are not unpacked")

    def _file(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> None:
        content = archive.extractfile(member)
        assert content is not None
        with self._parent(parts, member.name) as directory:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            fd = os.open(parts[-1], flags, 0o600, dir_fd=directory)
        try:
            while data := content.read(_CHUNK):
                write_all(fd, data)
            os.fchmod(fd, member.mode & 0o777)
            os.utime(fd, (member.mtime, member.mtime))
        finally:
            os.close(fd)

    def _link(self, member: tarfile.TarInfo, parts: list[str]) -> None:
        """A symbolic link that stays inside, as far as its text says; what lies behind it is never written through."""
        depth = len(parts) - 1
        for part in member.linkname.split("/"):
            depth += -1 if part == ".." else 0 if part in ("", ".") else 1
            if depth < 0 or member.linkname.startswith("/"):
                raise Refused(member.name, "its link leads out of the directory")
        with self._parent(parts, member.name) as directory:
            os.symlink(member.linkname, parts[-1], dir_fd=directory)

    def _hard_link(self, member: tarfile.TarInfo, parts: list[str]) -> None:
        """A second name for a file that is there; never for what a link leads to."""
        target = _parts(member.linkname)
        if not target:
            raise Refused(member.name, "it links to the directory itself")
        source = self._enter(target[:-1], member.name)
        try:
            if not stat.S_ISREG(os.lstat(target[-1], dir_fd=source).st_mode):
                raise Refused(member.name, "it links to what is no file")
            with self._parent(parts, member.name) as directory:
                os.link(target[-1], parts[-1], src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            raise Refused(member.name, "it links to a file that is not there") from None
        finally:
            os.close(source)

    @contextlib.contextmanager
    def _parent(self, parts: list[str], member: str) -> Iterator[int]:
        """The directory that a member goes into, with its name free there."""
        directory = self._enter(parts[:-1], member)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=directory)
            yield directory
        finally:
            os.close(directory)

    def _enter(self, parts: list[str], member: str) -> int:
        """Opens a directory below the root, making what is missing; a link on the way is refused."""
        directory = os.dup(self._root)
        for part in parts:
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=directory)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                following = os.open(part, flags, dir_fd=directory)
                if stat.S_ISLNK(os.lstat(part, dir_fd=directory).st_mode):  # gVisor's kernel follows it all the same
                    os.close(following)
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), part)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise Refused(member, f"{part} on its way is no directory") from None
                raise
            finally:
                os.close(directory)
            directory = following
        return directory


def _parts(name: str) -> list[str]:
    """The components of a member's name. Raises Refused for one that is absolute, leads upwards or is too deep."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise Refused(name, "its name is absolute or leads upwards")
    if len(parts) > _DEEPEST:
        raise Refused(name, f"its name has more than {_DEEPEST} parts")
    return parts


def pack(path: str, gzip: bool) -> dict[str, object]:
    """Packs a file, or what is in a directory, to standard output, with relative names."""
    counts = {"files": 0, "bytes": 0, "skipped": 0}
    base = os.path.realpath(path)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz" if gzip else "w|") as archive:
        if os.path.isdir(base):
            for directory, names, files in os.walk(base):
                for name in sorted(names + files):
                    _pack_one(archive, os.path.join(directory, name), base, counts)
        else:
            os.stat(base)
            _pack_one(archive, base, os.path.dirname(base), counts)
    sys.stdout.buffer.flush()
    return dict(counts)


def _pack_one(archive: tarfile.TarFile, path: str, base: str, counts: dict[str, int]) -> None:
    """Adds one entry; a file that shrinks meanwhile is filled with zeros, so that the archive stays whole."""
    try:
        member = archive.gettarinfo(path, os.path.relpath(path, base))
        content = open(path, "rb") if member is not None and member.isreg() else None  # noqa: SIM115
    except OSError:
        counts["skipped"] += 1
        return
    if member is None or not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        counts["skipped"] += 1
        return
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    counts["files"] += 1
    counts["bytes"] += member.size if member.isreg() else 0
    if content is None:
        archive.addfile(member)
        return
    with content:
        archive.addfile(member, _Exactly(content, member.size))


class _Exactly:
    """Reads exactly `size` bytes from a file that may have shrunk or grown."""

    def __init__(self, content: BinaryIO, size: int) -> None:
        self._content = content
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        self._left -= size
        return self._content.read(size).ljust(size, b"\0")
