"""A period of the record, pinned: everything said of it depends on nothing that came later."""

import time
from dataclasses import dataclass
from typing import Final

from stockade_audit.daemon.domain.errors import PeriodNotCovered
from stockade_audit.daemon.record import Record
from stockade_audit.entry import format_time
from stockade_audit.errors import AuditError
from stockade_audit.head import Head

MARGIN_NS: Final = 2_000_000_000
"""How long after it was made an entry may come to be indexed: an append takes 250 ms, the index promises a second."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_ns` to before `end_ns`.

    `after` is the first witnessed head signed MARGIN_NS after its end or later, `before` the last one before its start
    (None: the record began later). The period's entries are those of its time between the two: one that became durable
    only after `after` belongs to no period, and a LATE entry speaks of it.
    """

    start_ns: int
    end_ns: int
    before: Head | None
    after: Head

    def bounds(self, slot: str) -> tuple[int, int]:
        """The positions of a journal between the two heads."""
        old = self.before.journals.get(slot) if self.before else None
        return (old.size if old else 0), self.after.journals[slot].size


def pin(record: Record, start_ns: int, end_ns: int) -> Period:
    """The period, with a head that covers it. Blocking, for MARGIN_NS at most; PeriodNotCovered when there is none."""
    now = time.time_ns()
    if not start_ns < end_ns <= now:
        raise PeriodNotCovered("a period begins before it ends, and has ended", format_time(now))
    time.sleep(max(0, end_ns + MARGIN_NS - now) / 1e9)
    after = record.heads.first_from(end_ns + MARGIN_NS) or _cover(record, end_ns + MARGIN_NS)
    return Period(start_ns, end_ns, record.heads.last_before(start_ns), after)


def _cover(record: Record, from_ns: int) -> Head:
    """The first head from now on, once it is witnessed."""
    try:
        record.keeper.sign(anyway=True)
        record.keeper.hand_over()
    except (AuditError, OSError) as error:
        raise _uncovered(record, str(error)) from error
    after = record.heads.first_from(from_ns)
    if after is None:
        raise _uncovered(record, "heads wait for the witness")
    return after


def _uncovered(record: Record, why: str) -> PeriodNotCovered:
    last = record.keeper.witnessed
    until = format_time(last.time_ns) if last else "never"
    return PeriodNotCovered(f"no witnessed head covers the period, the last one is of {until}: {why}", until)
