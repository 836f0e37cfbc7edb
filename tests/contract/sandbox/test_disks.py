"""What every maker of quota disks does."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stockade_sandbox.adapters.disks_loop import LoopDisks
from stockade_sandbox.domain.errors import NodeFull, SnapshotNotFound

pytestmark = [pytest.mark.docker, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]

MIB = 1 << 20
THROTTLE = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stk-") as directory:
        yield Path(directory)


@pytest.fixture
def disks(root: Path) -> LoopDisks:
    return LoopDisks(root / "images", root / "mounts", root / "snapshots", reserve=0, node="node-0")


async def test_a_disk_is_its_owners_ends_on_the_mark_and_goes(disks: LoopDisks) -> None:
    place = await disks.place("sb-a")
    await disks.create("sb-a", 16 * MIB, uid=1_900_000_123)
    try:
        assert (place.stat().st_uid, place.stat().st_mode & 0o777) == (1_900_000_123, 0o755)
        assert os.listdir(place) == []
        usage = await disks.usage("sb-a")
        assert 14 * MIB < usage.limit <= 16 * MIB
        with pytest.raises(OSError, match="No space left"):
            (place / "fill").write_bytes(bytes(17 * MIB))
        assert (await disks.usage("sb-a")).used > 14 * MIB
        assert await disks.names() == {"sb-a"}
    finally:
        await disks.remove("sb-a")
    assert await disks.names() == set()
    assert not place.exists()
    assert (await disks.usage("sb-a")).limit == 0


async def test_one_that_goes_meanwhile_keeps_no_other_from_being_made(disks: LoopDisks, root: Path) -> None:
    await disks.place("sb-a")
    (root / "images" / "sb-b.img").symlink_to(root / "nowhere")  # listed, and gone when it is looked at
    await disks.create("sb-a", 16 * MIB, uid=1)
    await disks.remove("sb-a")


async def test_no_device_and_no_setuid_program_works_on_it(disks: LoopDisks) -> None:
    place = await disks.place("sb-a")
    await disks.create("sb-a", 16 * MIB, uid=1)
    try:
        flags = os.statvfs(place).f_flag
        assert flags & os.ST_NOSUID
        assert flags & os.ST_NODEV
    finally:
        await disks.remove("sb-a")


async def test_what_the_host_cannot_hold_is_refused(root: Path) -> None:
    disks = LoopDisks(root / "images", root / "mounts", root / "snapshots", reserve=0, node="node-0")
    free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
    with pytest.raises(NodeFull, match="MiB"):
        await disks.create("sb-a", free + (1 << 30), uid=1)
    assert await disks.names() <= {"sb-a"}


async def test_removing_what_is_half_made_or_not_there(disks: LoopDisks, root: Path) -> None:
    await disks.remove("sb-nobody")
    await disks.place("sb-half")
    (root / "images/sb-other.img").write_bytes(b"")
    assert await disks.names() == {"sb-half", "sb-other"}
    await disks.remove("sb-half")
    await disks.remove("sb-other")
    assert await disks.names() == set()


async def test_a_snapshot_holds_the_files_as_they_were(disks: LoopDisks) -> None:
    place = await disks.place("sb-a")
    await disks.create("sb-a", 16 * MIB, uid=1001)
    try:
        (place / "file").write_text("before")
        os.symlink("/etc/shadow", place / "link")
        taken = await disks.keep("sb-a", "sn-a")
        assert 0 < taken < 16 * MIB
        (place / "file").write_text("after")
        other = await disks.place("sb-b")
        await disks.create("sb-b", 16 * MIB, uid=1002, snapshot="sn-a")
        assert (other / "file").read_text() == "before"
        assert {path.lstat().st_uid for path in (other, *other.iterdir())} == {1002}
        assert os.stat("/etc/shadow").st_uid == 0  # no link was followed
        assert await disks.snapshots() == {"sn-a"}
        await disks.drop("sn-a")
        with pytest.raises(SnapshotNotFound):
            await disks.create("sb-c", 16 * MIB, uid=1003, snapshot="sn-a")
    finally:
        for name in await disks.names():
            await disks.remove(name)
    assert await disks.snapshots() == set()


async def test_files_however_deep_come_back_with_a_snapshot(disks: LoopDisks) -> None:
    place = await disks.place("sb-a")
    await disks.create("sb-a", 16 * MIB, uid=1001)
    try:
        directory = os.open(place, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=directory)
            above, directory = directory, os.open("d", os.O_RDONLY, dir_fd=directory)
            os.close(above)
        os.close(directory)
        await disks.keep("sb-a", "sn-a")
        other = await disks.place("sb-b")
        await disks.create("sb-b", 16 * MIB, uid=1002, snapshot="sn-a")
        assert (other / "d/d").stat().st_uid == 1002
    finally:
        for name in await disks.names():
            await disks.remove(name)


async def test_a_writer_is_held_to_its_pace_and_its_device_is_let_go_of(root: Path) -> None:
    if not THROTTLE.is_file():  # noqa: ASYNC240 - a kernel file
        pytest.skip("version 2 of cgroups has no rate at its root")
    disks = LoopDisks(root / "images", root / "mounts", root / "snapshots", 0, "node-0", bytes_per_second=8 * MIB)
    place = await disks.place("sb-a")
    await disks.create("sb-a", 64 * MIB, uid=1001)
    device = f"{os.major(place.stat().st_dev)}:{os.minor(place.stat().st_dev)}"
    try:
        assert _held(device) == (f"{8 * MIB}", "1")
        begun = time.monotonic()
        (place / "file").write_bytes(os.urandom(40 * MIB))
        assert time.monotonic() - begun > 1.5  # 40 MiB less what may wait, at 8 MiB/s
    finally:
        await disks.remove("sb-a")
    assert _held(device) == ("", "0")


def _held(device: str) -> tuple[str, str]:
    """To what rate a device's writers are held, and whether it has a bound of its own on what waits to be written."""
    rates = dict(line.split() for line in THROTTLE.read_text().splitlines())
    return rates.get(device, ""), Path(f"/sys/class/bdi/{device}/strict_limit").read_text().strip()
