"""How far the record has come: indexed, witnessed, copied."""

import time
from dataclasses import dataclass

from stockade_audit.daemon.record import Record

HEADS = 10_000  # counted at most


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """Entries of one journal, by how far they have come."""

    slot: str
    indexed: int
    witnessed: int
    copied: int


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """A place that the record is taken to: what is still to come, for how long, and what keeps it."""

    name: str
    behind: int
    lag_s: float
    problem: str


def journal_statuses(record: Record) -> list[JournalStatus]:
    """Every journal, by slot. Blocking."""
    witnessed = record.keeper.witnessed.journals if record.keeper.witnessed else {}
    copied = record.shipper.sizes if record.shipper else {}
    return [
        JournalStatus(
            state.slot,
            state.place.position,
            witnessed[state.slot].size if state.slot in witnessed else 0,
            copied.get(state.slot, 0),
        )
        for state in record.index.indexed()
    ]


def sink_statuses(record: Record) -> list[SinkStatus]:
    """The witness, and the copy where there is one. Blocking."""
    waiting = record.heads.unwitnessed(HEADS)
    lag_s = max(0.0, time.time() - waiting[0].time_ns / 1e9) if waiting else 0.0
    sinks = [SinkStatus("witness", len(waiting), lag_s, record.keeper.problem)]
    if (shipper := record.shipper) is not None:
        problem = "; ".join(filter(None, [shipper.problem, *shipper.refused.values()]))
        sinks.append(SinkStatus("copy", shipper.behind(), shipper.lag_s, problem))
    return sinks
