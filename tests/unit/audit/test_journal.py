"""The journal as a service uses it: what is acknowledged stays, what cannot be written is refused in time."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from stockade_audit import Action, AuditError, Journal, JournalDamaged, RecordUnavailable, SlotBusy
from stockade_audit import writer as writer_module

from support.journals import SLOT, entry, leaves, open_journal, write


async def refused(journal: Journal) -> float:
    """Seconds until an append is refused."""
    started = time.monotonic()
    with pytest.raises(RecordUnavailable):
        await journal.append(entry())
    return time.monotonic() - started


async def recovered(journal: Journal, within: float = 5.0) -> None:
    """Wait until appends are taken again."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            await journal.append(entry(resource="after"))
        except RecordUnavailable:
            await asyncio.sleep(0.02)
        else:
            return
    raise AssertionError("the journal did not come back")


async def test_entries_lie_in_the_order_of_their_appends(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    positions = await asyncio.gather(*(journal.append(entry(resource=str(n))) for n in range(500)))
    assert positions == list(range(500))
    assert await journal.append_many([entry(resource="500"), entry(resource="501")]) == 500
    journal.close()
    assert [leaf["resource"] for leaf in leaves(tmp_path / SLOT)] == [str(n) for n in range(502)]


async def test_a_restart_continues_where_it_ended(tmp_path: Path) -> None:
    for start in range(0, 3000, 1000):
        journal = open_journal(tmp_path)
        assert await journal.append_many([entry(n) for n in range(1000)]) == start
        journal.close()
    assert len(leaves(tmp_path / SLOT)) == 3000


async def test_a_slot_has_one_writer(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with pytest.raises(SlotBusy, match=f"held by process {os.getpid()}"):
        open_journal(tmp_path)
    journal.close()
    open_journal(tmp_path).close()


@pytest.mark.parametrize("slot", ["", "A", "a/b", "..", "-a", "a" * 64])
def test_a_slot_is_a_name(tmp_path: Path, slot: str) -> None:
    with pytest.raises(AuditError, match="no slot"):
        Journal.open(tmp_path, service="test", slot=slot)


def test_files_are_the_owners_to_write_and_the_groups_to_read(tmp_path: Path) -> None:
    directory = write(tmp_path / "journals", [1])
    modes = {path.name: path.stat().st_mode & 0o7777 for path in directory.iterdir()}
    assert (tmp_path / "journals").stat().st_mode & 0o7777 == 0o2770
    assert directory.stat().st_mode & 0o7777 == 0o2750
    assert modes["00000000.seg"] == 0o640
    assert modes["signing.key"] == 0o600


async def test_repeating_an_id_appends_nothing(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    once = entry()
    assert await journal.append(once) == 0
    assert await journal.append_many([entry(), once, once]) == 1
    assert await journal.append(once) == 0
    journal.close()
    journal = open_journal(tmp_path)
    assert await journal.append(once) == 0
    journal.close()
    assert len(leaves(tmp_path / SLOT)) == 2


async def test_intents_found_open_are_closed_as_unknown(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    await journal.append(entry(id="done", action=Action.INTENT))
    await journal.append(entry(action=Action.OUTCOME, intent_id="done"))
    await journal.append(entry(id="open", action=Action.INTENT, agent="a", sandbox="sb-1", method="X/Create"))
    await journal.append(entry(action=Action.CLAIM, metadata={"intent_id": "open"}))  # an agent's words close nothing
    for _ in range(3):  # the intent's segment is no longer the last
        await journal.append_many([entry(n) for n in range(400)])
    journal.close()
    open_journal(tmp_path).close()
    closing = [leaf for leaf in leaves(tmp_path / SLOT) if leaf["action"] == "OUTCOME_UNKNOWN"]
    assert [(c["intent_id"], c["agent"], c["sandbox"], c["method"]) for c in closing] == [
        ("open", "a", "sb-1", "X/Create")
    ]
    open_journal(tmp_path).close()
    assert len([leaf for leaf in leaves(tmp_path / SLOT) if leaf["action"] == "OUTCOME_UNKNOWN"]) == 1


class Disk:
    """Stands before `os.fdatasync` of the writer's thread: lets it pass, hang, or fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.error: OSError | None = None
        sync = os.fdatasync

        def fdatasync(fd: int) -> None:
            self.answers.wait()
            if self.error:
                raise self.error
            sync(fd)

        monkeypatch.setattr("stockade_audit.writer.os.fdatasync", fdatasync)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def test_a_hung_disk_refuses_in_time_and_never_stops_the_loop(tmp_path: Path, disk: Disk) -> None:
    journal = open_journal(tmp_path)
    await journal.append(entry())
    disk.answers.clear()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    waits = await asyncio.gather(*(refused(journal) for _ in range(20)))
    assert 0.2 < max(waits) < 0.4
    assert ticks >= 10
    assert await refused(journal) < 0.05, "while it hangs nobody waits again"
    disk.answers.set()
    await recovered(journal)
    ticking.cancel()
    journal.close()
    found = leaves(tmp_path / SLOT)
    late = {leaf["intent_id"] for leaf in found if leaf["action"] == "LATE"}
    gap = [leaf["metadata"] for leaf in found if leaf["action"] == "GAP"]
    written_though_refused = {
        leaf["id"] for leaf in found[1:] if leaf["action"] == "ALLOWED" and "resource" not in leaf
    }
    assert late == written_though_refused, "every entry whose caller was refused is followed by one that says so"
    assert sum(g["refused"] for g in gap) >= 21


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error")])
async def test_a_failing_disk_refuses_at_once_and_loses_nothing(tmp_path: Path, disk: Disk, error: OSError) -> None:
    journal = open_journal(tmp_path)
    kept = [await journal.append(entry(resource="kept")) for _ in range(5)]
    disk.error = error
    assert await refused(journal) < 0.25
    assert await refused(journal) < 0.25
    assert error.strerror in journal.unavailable
    disk.error = None
    await recovered(journal)
    journal.close()
    found = leaves(tmp_path / SLOT)
    assert [leaf["resource"] for leaf in found[: len(kept)]] == ["kept"] * 5
    (gap,) = [leaf["metadata"] for leaf in found if leaf["action"] == "GAP"]
    assert gap["refused"] >= 2
    assert gap["since"] <= gap["until"]
    assert error.strerror in gap["cause"]
    assert {leaf.get("resource") for leaf in found} == {"kept", "after", None}


def unlink(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.write_bytes(b"another file")


@pytest.mark.parametrize("harm", [unlink, replace])
async def test_storage_taken_away_is_noticed_and_put_back(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    journal = open_journal(tmp_path)
    for _ in range(3):
        await journal.append(entry(resource="kept"))
    harm(tmp_path / SLOT / "00000000.seg")
    assert await refused(journal) < 0.25
    await recovered(journal)
    journal.close()
    found = leaves(tmp_path / SLOT)
    assert [leaf.get("resource") for leaf in found[:3]] == ["kept"] * 3
    assert any(leaf["action"] == "GAP" for leaf in found)


async def test_a_clock_that_is_set_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(tmp_path)
    await journal.append(entry())
    now = time.time_ns

    class Clock:
        monotonic = staticmethod(time.monotonic)
        monotonic_ns = staticmethod(time.monotonic_ns)

        @staticmethod
        def time_ns() -> int:
            return now() - 3_600_000_000_000

    monkeypatch.setattr(writer_module, "time", Clock)
    await journal.append(entry())
    journal.close()
    (change,) = [leaf["metadata"]["change_ms"] for leaf in leaves(tmp_path / SLOT) if leaf["action"] == "CLOCK_CHANGED"]
    assert change == pytest.approx(-3_600_000, abs=1000)


def tear(data: bytearray, end: int) -> None:
    """What a power cut leaves of the last commit: its beginning."""
    data[end - 40 : end] = bytes(40)


def last_end(directory: Path) -> tuple[Path, int]:
    path = sorted(directory.glob("*.seg"))[-1]
    return path, len(path.read_bytes().rstrip(b"\0"))


async def test_a_torn_tail_is_cut_and_the_rest_kept(tmp_path: Path) -> None:
    directory = write(tmp_path, [3, 2])
    path, end = last_end(directory)
    data = bytearray(path.read_bytes())
    tear(data, end)
    path.write_bytes(data)
    journal = open_journal(tmp_path)
    assert await journal.append(entry(resource="next")) == 3
    journal.close()
    assert len(leaves(directory)) == 4


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("an entry edited", lambda data: data.replace(b"api.example", b"apx.example", 1)),
        ("a commit zeroed", lambda data: data[:400] + bytes(200) + data[600:]),
        ("the header", lambda data: data[:20] + b"XX" + data[22:]),
    ],
)
def test_damage_that_no_crash_leaves_is_kept_as_evidence(
    tmp_path: Path, name: str, harm: Callable[[bytes], bytes]
) -> None:
    directory = write(tmp_path, [5, 5, 5])
    path = directory / "00000000.seg"
    harmed = harm(path.read_bytes())
    path.write_bytes(harmed)
    with pytest.raises(JournalDamaged):
        open_journal(tmp_path)
    assert path.read_bytes() == harmed


async def test_an_agents_words_cannot_look_like_a_commit(tmp_path: Path) -> None:
    """A torn tail that holds the frame's magic within an entry is still a torn tail."""
    journal = open_journal(tmp_path)
    await journal.append(entry())
    await journal.append(entry(resource="STKC" * 50))
    journal.close()
    path, end = last_end(tmp_path / SLOT)
    data = bytearray(path.read_bytes())
    tear(data, end)
    path.write_bytes(data)
    open_journal(tmp_path).close()


async def test_a_segment_begun_but_not_written_is_begun_again(tmp_path: Path) -> None:
    directory = write(tmp_path, [5])
    (directory / "00000001.seg").write_bytes(bytes(1 << 16))
    journal = open_journal(tmp_path)
    assert await journal.append(entry()) == 5
    journal.close()


async def test_what_may_linger_is_written_with_the_next_or_when_its_time_has_come(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    patient = journal.submit(entry(1), linger_s=60)
    await asyncio.sleep(0.05)
    assert not patient.done()
    assert await asyncio.gather(journal.append(entry(2)), patient) == [1, 0]
    async with asyncio.timeout(5):
        assert await journal.submit(entry(3), linger_s=0.01) == 2
    journal.submit(entry(4), linger_s=60)
    journal.close()
    assert len(leaves(tmp_path / SLOT)) == 4


async def test_close_writes_what_was_submitted(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    futures = [journal.submit(entry(n)) for n in range(1000)]
    journal.close()
    await asyncio.sleep(0)
    assert len(leaves(tmp_path / SLOT)) == len(futures)


async def test_a_commit_larger_than_a_segment_is_written(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    big: dict[str, Any] = {"metadata": {f"k{n}": "v" * 1000 for n in range(30)}}
    assert await journal.append_many([entry(n, **big) for n in range(20)]) == 0
    assert await journal.append(entry()) == 20
    journal.close()
    assert len(leaves(tmp_path / SLOT)) == 21
    journal = open_journal(tmp_path)
    assert await journal.append(entry()) == 21
    journal.close()


def test_a_late_loop_is_no_hung_disk(tmp_path: Path) -> None:
    """On the loop that services run on: its timers come before what the writer told meanwhile."""

    async def appended_while_the_loop_was_busy() -> int:
        journal = open_journal(tmp_path)
        await journal.append(entry())
        durable = journal.submit(entry())
        await asyncio.sleep(0)
        time.sleep(2)  # noqa: ASYNC251 - the loop is late on purpose
        position = await durable
        journal.close()
        return position

    assert uvloop.run(appended_while_the_loop_was_busy()) == 1
