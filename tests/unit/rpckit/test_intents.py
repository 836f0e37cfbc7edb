"""What may happen while an intent is written, and what may not."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from stockade_audit import Journal, RecordUnavailable
from stockade_rpckit import contract
from stockade_rpckit.identity import Principal, PrincipalKind
from stockade_rpckit.recording import Record, Recorder

from support.journals import leaves
from support.probe import stubs  # noqa: F401 - registers the probe's contract

METHOD = contract.method("/probe.v1.Probe/Intend")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The record's disk hangs until this is set."""
    moves, sync = threading.Event(), os.fdatasync
    monkeypatch.setattr("stockade_audit.writer.os.fdatasync", lambda fd: (moves.wait(5), sync(fd)))
    yield moves
    moves.set()


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    journal = Journal.open(tmp_path, service="probe", slot="probe-0")
    yield Recorder("probe", journal, {})
    journal.close()


async def test_an_early_handler_begins_at_once_and_waits_before_its_effect(
    recorder: Recorder, disk: threading.Event
) -> None:
    record = await _begun(recorder, early=True)
    waiting = asyncio.create_task(record.intended())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    disk.set()
    await waiting


@pytest.mark.parametrize("early", [True, False])
async def test_where_the_intent_is_not_written_nothing_is_done_and_nothing_answered(
    early: bool, recorder: Recorder, disk: threading.Event
) -> None:
    if not early:
        with pytest.raises(RecordUnavailable):
            await _begun(recorder, early=False)
        return
    record = await _begun(recorder, early=True)
    with pytest.raises(RecordUnavailable):
        await record.intended()
    with pytest.raises(RecordUnavailable):  # even if its handler did not wait
        await recorder.close(METHOD, record, "OK")


@pytest.mark.parametrize("answer_first", [True, False])
async def test_who_is_answered_first_has_its_outcome_recorded_all_the_same(
    answer_first: bool, tmp_path: Path, recorder: Recorder, disk: threading.Event
) -> None:
    disk.set()
    record = await _begun(recorder, early=False)
    disk.clear()
    if answer_first:
        record.answer_first()
    closing = asyncio.create_task(recorder.close(METHOD, record, "OK"))
    await asyncio.sleep(0.05)
    assert closing.done() is answer_first
    disk.set()
    await closing
    await recorder.close(METHOD, await _begun(recorder, early=False), "OK")  # one writer: what went before is written
    closed = [entry for entry in leaves(tmp_path / "probe-0") if entry.get("intent_id") == record.intent_id]
    assert [(entry["action"], entry["status"]) for entry in closed] == [("OUTCOME", "OK")]


async def test_a_failure_is_not_told_before_it_is_recorded(recorder: Recorder, disk: threading.Event) -> None:
    disk.set()
    record = await _begun(recorder, early=False)
    record.answer_first()
    disk.clear()
    with pytest.raises(RecordUnavailable):
        await recorder.close(METHOD, record, "INTERNAL")


async def _begun(recorder: Recorder, early: bool) -> Record:
    record = recorder.open(METHOD, "", "")
    recorder.identify(record, Principal(PrincipalKind.OPERATOR, "ada"))
    await recorder.begin(METHOD, record, None, early)
    return record
