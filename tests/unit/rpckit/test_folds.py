"""Folded entries while the record cannot be written."""

import pytest
from stockade_audit import Entry, RecordUnavailable
from stockade_rpckit.contract import FOLDED, Method
from stockade_rpckit.identity import Principal, PrincipalKind
from stockade_rpckit.recording import Recorder

METHOD = Method("/probe.v1.Probe/Fold", frozenset(), FOLDED)


class Disk:
    """A journal that refuses while `full`, as a disk that hangs makes it."""

    def __init__(self) -> None:
        self.full, self.entries = False, list[Entry]()

    async def append(self, entry: Entry) -> None:
        if self.full:
            raise RecordUnavailable("no room")
        self.entries.append(entry)


async def call(recorder: Recorder, name: str) -> None:
    record = recorder.open(METHOD, Principal(PrincipalKind.OPERATOR, name), "", "")
    await recorder.close(METHOD, record, "OK")


async def test_counts_wait_for_the_record() -> None:
    disk = Disk()
    recorder = Recorder("probe", disk, {})  # type: ignore[arg-type]
    disk.full = True
    for _ in range(2):
        await call(recorder, "ada")
        with pytest.raises(RecordUnavailable):
            await recorder.flush_folds()
    await call(recorder, "bob")
    disk.full = False
    await recorder.flush_folds()
    await recorder.flush_folds()
    assert {entry.principal: entry.metadata["count"] for entry in disk.entries} == {"ada": 2, "bob": 1}
    assert len(disk.entries) == 2
