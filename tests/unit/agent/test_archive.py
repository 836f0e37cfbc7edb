"""What an agent packs is unpacked with suspicion."""

import io
import tarfile
from pathlib import Path

import pytest
from stockade_agent.archive import pack, unpack
from stockade_agent.errors import StockadeError


def archive(*members: tarfile.TarInfo) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    file.seek(0)
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, mode
    made.size = 1 if kind == tarfile.REGTYPE else 0
    return made


def test_a_directory_goes_in_and_comes_out_the_same(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_bytes(b"content")
    (source / "deep" / "file").chmod(0o750)
    target.mkdir()
    assert unpack(io.BytesIO(b"".join(pack(source))), target) == 1
    assert (target / "deep" / "file").read_bytes() == b"content"
    assert (target / "deep" / "file").stat().st_mode & 0o777 == 0o750


def test_a_file_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("1")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(tmp_path / "one.txt")))) as packed:
        assert packed.getnames() == ["one.txt"]
        assert {(each.uid, each.uname) for each in packed} == {(0, "")}


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    with pytest.raises(StockadeError, match="leads out"):
        unpack(archive(member(name)), inside)
    assert list(tmp_path.iterdir()) == [inside]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    packed = archive(member("way", tarfile.SYMTYPE, str(outside)), member("way/file"), member("dev", tarfile.CHRTYPE))
    assert unpack(packed, inside) == 1
    assert list(outside.iterdir()) == []
    assert (inside / "way").is_dir()
    assert not (inside / "way").is_symlink()
    assert not (inside / "dev").exists()


def test_setuid_does_not_come_out(tmp_path: Path) -> None:
    unpack(archive(member("rise", mode=0o4755)), tmp_path)
    assert (tmp_path / "rise").stat().st_mode & 0o7777 == 0o755
