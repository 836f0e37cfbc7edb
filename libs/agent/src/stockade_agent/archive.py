"""Files as tar archives, into a sandbox and out of it. What comes out is an agent's: it is unpacked with suspicion."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from stockade_agent.errors import StockadeError

CHUNK_BYTES = 256 * 1024
_SPOOL_BYTES = 16 * 1024 * 1024


def pack(source: Path) -> Iterator[bytes]:
    """A file, or what a directory holds, as a tar archive in chunks. Owners are left out: inside all is the agent's."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        with tarfile.open(fileobj=spool, mode="w") as archive:
            archive.add(source, arcname="." if source.is_dir() else source.name, filter=_nobody)
        spool.seek(0)
        yield from _chunks(spool)


def unpack(archive: IO[bytes], directory: Path) -> int:
    """Unpack files and directories of a tar archive into `directory`; returns how many files there were.

    Links and special files are left out, so that nothing leads elsewhere later. Raises StockadeError for a name that
    would lead out of the directory.
    """
    count = 0
    with tarfile.open(fileobj=archive, mode="r|") as members:
        for member in members:
            target = _inside(directory, member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isreg() and (content := members.extractfile(member)):
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
                target.chmod(member.mode & 0o777)
                count += 1
    return count


def _inside(directory: Path, name: str) -> Path:
    target = (directory / name).resolve()
    if not target.is_relative_to(directory.resolve()):
        raise StockadeError(f"the archive names {name!r}, which leads out of {directory}; nothing more was unpacked")
    return target


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
