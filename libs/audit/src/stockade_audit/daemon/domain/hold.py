"""Legal holds: what they cover is neither erased nor disposed of."""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass

from stockade_audit.daemon.domain.errors import SubjectHeld
from stockade_audit.keystore import KeptKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold on one subject, or on all (""), from a time to before another (0: open). Times in ns."""

    id: str
    subject: str = ""
    start_ns: int = 0
    end_ns: int = 0
    justification: str = ""
    created_ns: int = 0
    released_ns: int = 0

    def covers(self, key: KeptKey) -> bool:
        """Whether entries of this key may be of the time and subject that are held."""
        if self.released_ns or self.subject not in ("", key.name.subject):
            return False
        begins, ends = month_ns(key.name.month)
        return (not self.end_ns or begins < self.end_ns) and ends > self.start_ns


def month_ns(month: str) -> tuple[int, int]:
    """When a month such as `2026-11` begins and ends, in UTC."""
    year, number = map(int, month.split("-"))
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    begins, ends = (calendar.timegm((*start, 1, 0, 0, 0)) for start in ((year, number), following))
    return begins * 1_000_000_000, ends * 1_000_000_000


def months_before(month: str, count: int) -> str:
    """The month so many before another."""
    year, number = map(int, month.split("-"))
    at = year * 12 + number - 1 - count
    return f"{at // 12:04d}-{at % 12 + 1:02d}"


def check_free(keys: Iterable[KeptKey], holds: Iterable[Hold]) -> None:
    """Raise SubjectHeld when a hold covers one of the keys."""
    held = list(holds)
    for key in keys:
        for hold in held:
            if hold.covers(key):
                raise SubjectHeld(hold.id)


def free(keys: Iterable[KeptKey], holds: Iterable[Hold]) -> list[KeptKey]:
    """The keys that no hold covers."""
    held = list(holds)
    return [key for key in keys if not any(hold.covers(key) for hold in held)]
