"""One pass over a period's entries: what is counted, and which of them are shown."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson

from stockade_audit.daemon.domain.query import Row
from stockade_audit.daemon.evidence.period import Period
from stockade_audit.daemon.indexing import Indexer
from stockade_audit.daemon.reading import Reading
from stockade_audit.entry import parse_time

BUCKETS: Final = 60  # points of time of a plot
NAMES: Final = 10_000  # domains counted by name; agents choose them, so there may be any number

# The file in which entries of an action are shown one by one. DISPOSED without a finding is retention's.
SECTIONS: Final = {
    "policies": ("POLICY_CHANGED", "SERVICE_STARTED"),
    "access": ("READ",),
    "retention": ("DISPOSED", "ERASED", "HOLD_PLACED", "HOLD_RELEASED", "KEY_ROTATED"),
    "findings": ("ALERT", "ACKNOWLEDGED", "GAP", "LATE", "CLOCK_CHANGED", "OUTCOME_UNKNOWN", "SANDBOX_LOST"),
    "acceptance": ("MEASURED",),
}
_SECTION_OF: Final = {action: name for name, actions in SECTIONS.items() for action in actions}


@dataclass(slots=True)
class Gathered:
    """Counts over the whole period, and where the entries lie that are shown, by section and journal."""

    actions: Counter[str] = field(default_factory=Counter)
    by_service: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)  # of refusals
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)  # (action, reason) of what is not a decision
    blocked_domains: Counter[str] = field(default_factory=Counter)
    limited_types: Counter[str] = field(default_factory=Counter)
    over_time: dict[str, list[int]] = field(default_factory=dict)  # by action, BUCKETS counts
    redacted: int = 0
    refused_appends: int = 0
    shown: dict[str, dict[str, list[Row]]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Entries of the period."""
        return self.actions.total()


class Sample:
    """The `size` entries whose SHA-256 of seed and place is smallest: chosen by nobody, and the same each time."""

    def __init__(self, seed: int, size: int) -> None:
        self._seed, self._size = seed.to_bytes(8, "big"), size
        self._kept: list[tuple[int, Row]] = []

    def offer(self, row: Row) -> None:
        """Keep it if it is among the smallest so far."""
        place = f"{row.slot}\n{row.position}".encode()
        rank = -int.from_bytes(sha256(self._seed + place).digest())
        if len(self._kept) < self._size:
            heapq.heappush(self._kept, (rank, row))
        elif rank > self._kept[0][0]:
            heapq.heapreplace(self._kept, (rank, row))

    def rows(self) -> dict[str, list[Row]]:
        """Those kept, by journal and position."""
        return _by_journal(row for _, row in self._kept)


def gather(period: Period, indexer: Indexer, seed: int, sample_size: int) -> Gathered:
    """Read every journal between the period's heads. JournalDamaged when one is not what was indexed."""
    found, sample = Gathered(), Sample(seed, sample_size)
    shown: dict[str, list[Row]] = {name: [] for name in SECTIONS}
    for row, leaf in _entries(period, indexer):
        _count(found, period, row, leaf)
        sample.offer(row)
        if section := _section(leaf):
            shown[section].append(row)
    found.shown = {"sample": sample.rows()} | {name: _by_journal(rows) for name, rows in shown.items()}
    return found


def _entries(period: Period, indexer: Indexer) -> Iterator[tuple[Row, dict[str, Any]]]:
    for slot in sorted(period.after.journals):
        start, end = period.bounds(slot)
        reading = Reading(indexer.root / slot, lambda slot=slot: indexer.hashes(slot), start)  # type: ignore[misc]
        try:
            while located := reading.take(end):
                for at in located:
                    leaf = orjson.loads(at.leaf)
                    time_ns = parse_time(leaf["time"])
                    if period.start_ns <= time_ns < period.end_ns:
                        yield Row(slot, at.position, time_ns, at.segment, at.offset, len(at.leaf)), leaf
        finally:
            reading.close()


def _section(leaf: dict[str, Any]) -> str:
    if leaf["action"] == "DISPOSED" and "intent_id" in leaf:
        return "findings"
    return _SECTION_OF.get(leaf["action"], "")


def _count(found: Gathered, period: Period, row: Row, leaf: dict[str, Any]) -> None:
    action = leaf["action"]
    found.actions[action] += 1
    found.by_service[leaf.get("service", ""), action] += 1
    found.redacted += leaf.get("redacted", 0)
    bucket = (row.time_ns - period.start_ns) * BUCKETS // (period.end_ns - period.start_ns)
    found.over_time.setdefault(action, [0] * BUCKETS)[bucket] += 1
    if action in ("BLOCKED", "RATE_LIMITED"):
        found.rules[leaf.get("rule", "")] += 1
        named = found.blocked_domains if action == "BLOCKED" else found.limited_types
        name = leaf.get("domain" if action == "BLOCKED" else "agent_type", "")
        named[name if name in named or len(named) < NAMES else "(others)"] += 1
    elif reason := leaf.get("reason"):
        found.reasons[action, reason] += 1
    if action == "GAP":
        found.refused_appends += leaf.get("metadata", {}).get("refused", 0)


def _by_journal(rows: Iterator[Row] | list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.slot, row.position)):
        found.setdefault(row.slot, []).append(row)
    return found
