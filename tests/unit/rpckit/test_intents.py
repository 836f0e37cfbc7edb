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


async def _begun(recorder: Recorder, early: bool) -> Record:
    record = recorder.open(METHOD, "", "")
    recorder.identify(record, Principal(PrincipalKind.OPERATOR, "ada"))
    await recorder.begin(METHOD, record, None, early)
    return record
