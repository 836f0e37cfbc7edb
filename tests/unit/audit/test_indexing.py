"""The indexer where the index itself has no room: it waits, misses nothing, and accuses no journal."""

from pathlib import Path

import pytest
from stockade_audit.daemon.adapters.index_sqlite import SqliteIndex
from stockade_audit.daemon.domain.query import Filter
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_audit.sealing import Opener

from support.journals import SLOT, write


def pages(index: SqliteIndex, most: int) -> None:
    """Let the database grow to so many pages, as a full disk does."""
    index._writer.execute(f"PRAGMA max_page_count = {most}")


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_full_index_waits_for_room(tmp_path: Path, rounds: int) -> None:
    index = SqliteIndex(tmp_path / "index.sqlite")
    opener = Opener(SqliteKeyStore(tmp_path / "keys"))
    indexer = Indexer(tmp_path / "journals", index, tmp_path / "index", opener)
    pages(index, 1)
    write(tmp_path / "journals", [5, 300, 700])
    for _ in range(rounds):
        assert indexer.poll() == []
    assert [kind for kind, *_ in indexer.take_problems()] == ["SINK_LAG"]
    pages(index, 1_000_000)
    arrived = [at.position for batch in indexer.poll() for at in batch.located]
    assert arrived[0] == 0
    while more := indexer.poll():
        arrived += [at.position for batch in more for at in batch.located]
    assert arrived == list(range(1005))
    assert len(list(index.scan(Filter(), SLOT, 0, 2000))) == 1005
    assert indexer.marks()[SLOT].size == 1005
    assert indexer.take_problems() == []
    indexer.close()
    index.close()
