"""kill -9, a full disk and restarts under load: what was acknowledged is there, whole and in one tree."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stockade.audit.v1 import integrity_service_pb2 as integrity
from stockade_audit import RecordUnavailable
from stockade_audit.verification import Verdict, verify_record

from support import appender
from support.auditd import Auditd
from support.journals import entry, leaves, open_journal


def run(*command: str) -> None:
    """A command of the system, which takes no time to speak of."""
    subprocess.run(command, check=True)


def run_and_kill(root: Path, slot: str, seconds: float) -> set[str]:
    """The ids acknowledged by a service that was killed; a last line cut short was never acknowledged to anyone."""
    command = [sys.executable, appender.__file__, str(root), slot]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    return {line.decode() for line in (first + rest).split(b"\n")[:-1]}


def kill_and_check(root: Path, rounds: int) -> None:
    random_ = random.Random(rounds)
    acknowledged: set[str] = set()
    for _ in range(rounds):
        acknowledged |= run_and_kill(root, "test-0", random_.uniform(0.0, 0.3))
    started = time.monotonic()
    open_journal(root).close()
    assert time.monotonic() - started < 1.0
    found = leaves(root / "test-0")
    assert acknowledged <= {leaf["id"] for leaf in found}
    assert len({leaf["id"] for leaf in found}) == len(found)
    (report,) = verify_record(root, [], lambda _: None)
    assert (report.verdict, report.size) == (Verdict.INTACT, len(found))


@pytest.mark.timeout(120)
def test_kill_9_under_load_loses_no_acknowledged_entry(tmp_path: Path) -> None:
    """A share of 12 kills; `make test-long` does 100."""
    kill_and_check(tmp_path, 12)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_kills_lose_no_acknowledged_entry(tmp_path: Path) -> None:
    kill_and_check(tmp_path, 100)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk))
    yield disk
    run("umount", str(disk))


async def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    journal = open_journal(small_disk / "journals", segment_bytes=256 << 10)
    acknowledged: list[str] = []

    async def fill() -> None:
        while True:
            batch = [entry(n) for n in range(100)]
            await journal.append_many(batch)
            acknowledged.extend(made.id for made in batch)

    with pytest.raises(RecordUnavailable, match="No space left on device"):
        await fill()
    started = time.monotonic()
    with pytest.raises(RecordUnavailable):
        await journal.append(entry())
    assert time.monotonic() - started < 0.25
    kept = small_disk / "journals" / "test-0"
    assert {leaf["id"] for leaf in leaves(kept)} == set(acknowledged), "reads go on"
    run("mount", "-o", "remount,size=8m", str(small_disk))
    for _ in range(100):
        try:
            await journal.append(entry(resource="after"))
            break
        except RecordUnavailable:
            await asyncio.sleep(0.05)
    journal.close()
    found = leaves(kept)
    assert [leaf["id"] for leaf in found[: len(acknowledged)]] == acknowledged
    (gap,) = [leaf for leaf in found if leaf["action"] == "GAP"]
    assert gap["metadata"]["refused"] >= 101
    (report,) = verify_record(small_disk / "journals", [], lambda _: None)
    assert report.verdict is Verdict.INTACT


async def test_a_disk_made_read_only_refuses_and_recovers(small_disk: Path) -> None:
    """Linux lets no mount with open writers become read-only; a bind mount above the directory does the same."""
    directory = small_disk / "journals" / "test-0"
    journal = open_journal(small_disk / "journals", segment_bytes=64 << 10)
    await journal.append(entry(resource="before"))
    run("mount", "--bind", str(directory), str(directory))
    try:
        run("mount", "-o", "remount,bind,ro", str(directory))
        (refusals, taken) = (0, 0)
        for n in range(2000):  # the open segment still takes entries, the next one cannot be begun
            try:
                await journal.append_many([entry(n) for n in range(10)])
                taken += 10
            except RecordUnavailable:
                refusals += 1
                break
        assert refusals == 1
    finally:
        run("umount", str(directory))
    for _ in range(100):
        try:
            await journal.append(entry(resource="after"))
            break
        except RecordUnavailable:
            await asyncio.sleep(0.05)
    journal.close()
    found = leaves(directory)
    assert len([leaf for leaf in found if leaf["action"] == "ALLOWED"]) == taken + 2
    assert any(leaf["action"] == "GAP" for leaf in found)


@pytest.mark.timeout(180)
def test_eight_slots_restarted_at_random_stay_whole(auditd: Auditd) -> None:
    """One head over all of them, and no fork for the witness."""
    random_ = random.Random(8)
    slots = [f"test-{n}" for n in range(8)]
    running: dict[str, subprocess.Popen[bytes]] = {}

    def start(slot: str) -> None:
        command = [sys.executable, appender.__file__, str(auditd.journals), slot]
        running[slot] = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    for slot in slots:
        start(slot)
    for _ in range(10):
        time.sleep(0.4)
        slot = random_.choice(slots)
        running[slot].kill()
        running[slot].wait()
        start(slot)
    for process in running.values():
        process.kill()
        process.wait()
    sizes = {slot: len(leaves(auditd.journals / slot)) for slot in slots}
    for slot, size in sizes.items():
        if size:
            auditd.until_indexed(slot, size)
    reports = {r.journal: r for r in auditd.integrity().VerifyRecord(integrity.VerifyRecordRequest())}
    assert all(report.verdict == integrity.VERDICT_INTACT for report in reports.values()), reports
    assert all(reports[slot].witnessed_size == size for slot, size in sizes.items() if size)
