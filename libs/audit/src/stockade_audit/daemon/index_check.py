"""Whether the index and its rollups say what the journals say."""

from collections.abc import Iterator
from pathlib import Path

from stockade_audit.daemon.domain.ports import Index
from stockade_audit.daemon.domain.query import COLUMNS, Rollups, rollups_of
from stockade_audit.entry import parse_time
from stockade_audit.reader import Follower
from stockade_audit.sealing import Opened, Opener
from stockade_audit.tree import EMPTY_ROOT
from stockade_audit.verification import Report, Verdict

_MEND = "stop the daemon, remove its directory `index`, and start it: it is made again from the journals"


def check_index(index: Index, directory: Path, opener: Opener) -> Report | None:
    """The first entry or minute of one journal that the index has otherwise; None when all fits."""
    size, kept = index.snapshot(directory.name)
    counted: Rollups = {}
    indexed = index.contents(directory.name, size)
    for position, entry in _entries(directory, size, opener):
        time_ns = parse_time(entry.fields["time"])
        keys = (entry.keys.get(name, 0) for name in ("agent", "principal"))
        if next(indexed, None) != (position, time_ns, *map(entry.fields.get, COLUMNS), *keys):
            return _wrong(directory.name, size, position, "the index has this entry otherwise")
        for key, counts in rollups_of([entry], [time_ns]).items():
            before = counted.get(key, (0, 0, 0, 0))
            counted[key] = tuple(map(sum, zip(before, counts, strict=True)))  # type: ignore[assignment]
    if next(indexed, None) is not None:
        return _wrong(directory.name, size, size, "the index has an entry too many")
    for key in sorted(counted.keys() | kept.keys()):
        if counted.get(key) != kept.get(key):
            return _wrong(directory.name, size, 0, f"the rollup of {' '.join(map(str, key))} counts otherwise")
    return None


def _entries(directory: Path, size: int, opener: Opener) -> Iterator[tuple[int, Opened]]:
    follower = Follower(directory)
    try:
        while located := follower.poll():
            for at in located:
                if at.position >= size:
                    return
                yield at.position, opener.open(at.leaf)
    finally:
        follower.close()


def _wrong(slot: str, size: int, position: int, detail: str) -> Report:
    return Report(slot, Verdict.INDEX_WRONG, size, EMPTY_ROOT, position, f"{detail}: {_MEND}")
