"""How far a copy is behind, and when that is said."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from stockade_audit.daemon import background
from stockade_audit.daemon.adapters.copy_memory import MemoryCopy
from stockade_audit.daemon.adapters.index_sqlite import SqliteIndex
from stockade_audit.daemon.domain.copy import COLUMNS
from stockade_audit.daemon.domain.finding import Raised
from stockade_audit.daemon.findings import Findings
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.daemon.shipping import Shipper
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_audit.sealing import Opener

from support.journals import SLOT, write


@pytest.fixture
def shipper(tmp_path: Path) -> Shipper:
    root = tmp_path / "journals"
    root.mkdir()
    opener = Opener(SqliteKeyStore(tmp_path / "keys"))
    indexer = Indexer(root, SqliteIndex(tmp_path / "index.sqlite"), tmp_path / "index", opener)
    return Shipper(root, indexer, MemoryCopy())


def arrive(shipper: Shipper, count: int) -> None:
    write(shipper.root, [count])
    shipper.indexer.poll()


def test_the_lag_is_the_age_of_the_oldest_entry_that_the_copy_lacks(shipper: Shipper) -> None:
    arrive(shipper, 10)
    assert [shipper.watch(now) for now in (100.0, 101.0)] == [0.0, 1.0]
    shipper.ship()
    assert (shipper.watch(102.0), shipper.behind()) == (0.0, 0)
    for second in range(5):  # it is always a little behind, and never more than that
        arrive(shipper, 10)
        assert shipper.watch(110.0 + second) <= 1.0
        if second:
            shipper.ship()
    shipper.ship()
    assert shipper.watch(120.0) == 0.0


def test_a_copy_is_shipped_in_batches_across_segments(shipper: Shipper) -> None:
    write(shipper.root, [400] * 12)
    while shipper.indexer.poll():
        pass
    assert shipper.ship()
    assert shipper.sizes[SLOT] < 4800, "one step is bounded"
    while shipper.ship():
        pass
    assert [entry.position for entry in shipper.copy.contents(SLOT)] == list(range(4800))
    assert not shipper.ship()


def test_nothing_personal_stands_beside_a_leaf() -> None:
    assert not {"agent", "principal", "resource", "path", "metadata"} & set(COLUMNS)


async def test_a_copy_that_falls_behind_is_said_once_and_again_when_it_has_caught_up(
    shipper: Shipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "RETRY_S", 0.01)
    monkeypatch.setattr(background, "LAG_S", 0.05)
    told: list[str] = []

    class Told:
        async def raise_(self, raised: Raised) -> None:
            told.append(f"{raised.kind} {raised.subject}")

    watching = asyncio.ensure_future(background.watch_copy(shipper, cast(Findings, Told())))

    async def passes(condition: Any) -> None:
        for _ in range(500):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never came true")

    for times in (1, 2):
        await asyncio.to_thread(arrive, shipper, 5)
        await passes(lambda times=times: len(told) == times)
        await asyncio.sleep(0.1)
        assert told == ["SINK_LAG copy"] * times
        await asyncio.to_thread(shipper.ship)
        await passes(lambda: shipper.lag_s == 0.0)
    shipper.refused[SLOT] = "another journal"
    await passes(lambda: told[-1] == f"VERIFICATION_FAILED {SLOT}")
    watching.cancel()
