"""A period of the record, pinned: everything said of it depends on nothing that came later."""

import time
from dataclasses import dataclass
from typing import Final

from stockade_audit.daemon.domain.errors import PeriodNotCovered
from stockade_audit.daemon.record import Record
from stockade_audit.entry import format_time
from stockade_audit.head import Head

TRIES: Final = 5
TRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_ns` to before `end_ns`.

    `after` is the first witnessed head of its end or later, `before` the last one before its start (None: the record
    began later). The period's entries are those of its time between the two: one that became durable only after
    `after` belongs to no period, and a LATE entry speaks of it.
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
    """The period, once a witness keeps a head that covers it. Blocking; PeriodNotCovered when none does in time."""
    if not start_ns < end_ns <= time.time_ns():
        raise PeriodNotCovered("a period begins before it ends, and has ended", format_time(time.time_ns()))
    for _ in range(TRIES):
        after = record.heads.first_from(end_ns)
        if after is not None:
            return Period(start_ns, end_ns, record.heads.last_before(start_ns), after)
        time.sleep(TRY_S)  # the entry that says evidence is asked for brings a head with it
    last = record.keeper.witnessed
    until = format_time(last.time_ns) if last else "never"
    raise PeriodNotCovered(f"no witnessed head covers the period: the last one is of {until}", until)
