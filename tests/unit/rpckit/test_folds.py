"""Folded entries while the record cannot be written, and when a flush is cancelled on its way."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from stockade_audit import Action, Entry, Journal, RecordUnavailable
from stockade_rpckit.contract import FOLDED, Method
from stockade_rpckit.folds import Folds
from stockade_rpckit.identity import Principal, PrincipalKind
from stockade_rpckit.recording import _MOST_CLAIMS, Recorder

from support.journals import leaves

METHOD = Method("/probe.v1.Probe/Fold", frozenset(), FOLDED)


class Disk:
    """A journal that refuses while `full`, as a disk that hangs makes it."""

    def __init__(self) -> None:
        self.full, self.entries = False, list[Entry]()

    async def append_many(self, entries: Sequence[Entry]) -> None:
        if self.full:
            raise RecordUnavailable("no room")
        self.entries += entries


async def call(recorder: Recorder, name: str) -> None:
    record = recorder.open(METHOD, "", "")
    recorder.identify(record, Principal(PrincipalKind.OPERATOR, name))
    await recorder.close(METHOD, record, "OK")


async def test_counts_wait_for_the_record() -> None:
    disk = Disk()
    recorder = Recorder("probe", disk, {})  # type: ignore[arg-type]
    disk.full = True
    for _ in range(3):
        await call(recorder, "ada")
        with pytest.raises(RecordUnavailable):
            await recorder.folds.flush()
    await call(recorder, "bob")
    disk.full = False
    await recorder.folds.flush()
    await recorder.folds.flush()
    assert [(entry.principal, entry.metadata["count"]) for entry in disk.entries if entry.principal == "bob"] == [
        ("bob", 1)
    ]
    counted = [int(entry.metadata["count"]) for entry in disk.entries if entry.principal == "ada"]
    assert (sum(counted), len(counted)) == (3, 2)  # what was on its way, and what came meanwhile


async def test_a_flush_that_is_cancelled_loses_nothing_and_writes_nothing_twice(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, service="probe", slot="probe-0")
    folds = Folds(journal)
    for number in range(3000):
        folds.add({"action": Action.FOLDED, "principal": f"p{number % 1500}"})
    flushing = asyncio.create_task(folds.flush())
    await asyncio.sleep(0)  # until the first of them are on their way
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    await folds.flush()
    journal.close()
    assert [entry["metadata"]["count"] for entry in leaves(tmp_path / "probe-0")] == [2] * 1500


async def test_what_refused_callers_claim_is_told_apart_up_to_a_bound() -> None:
    disk = Disk()
    recorder = Recorder("probe", disk, {})  # type: ignore[arg-type]
    for number in range(_MOST_CLAIMS + 100):
        record = recorder.open(METHOD, "", "")
        record.claimed, record.origin = {"agent": f"agent-{number}"}, {"peer": "192.0.2.1"}
        recorder.fold(record, "UNAUTHENTICATED", "NODE_NOT_PLACED")
    await recorder.folds.flush()
    told, beyond = disk.entries[:_MOST_CLAIMS], disk.entries[_MOST_CLAIMS:]
    assert {entry.agent for entry in told} == {f"agent-{number}" for number in range(_MOST_CLAIMS)}
    assert {entry.metadata["peer"] for entry in told} == {"192.0.2.1"}
    assert [(entry.agent, entry.metadata["count"]) for entry in beyond] == [("", 100)]
