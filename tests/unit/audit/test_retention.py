"""Which keys are past their retention, and which of them a legal hold keeps."""

import pytest
from stockade_audit import AuditError
from stockade_audit.daemon.domain.hold import Hold, free, month_ns, months_before
from stockade_audit.daemon.domain.retention import due, parse_retention
from stockade_audit.keystore import KeptKey, KeyName

NOVEMBER, DECEMBER = month_ns("2026-11")


def key(subject: str = "ada", entry_class: str = "claim", month: str = "2026-11") -> KeptKey:
    return KeptKey(1, KeyName(subject, entry_class, month))


@pytest.mark.parametrize(
    ("month", "count", "found"),
    [("2026-11", 0, "2026-11"), ("2026-11", 1, "2026-10"), ("2026-01", 1, "2025-12"), ("2026-11", 25, "2024-10")],
)
def test_months_are_counted_back(month: str, count: int, found: str) -> None:
    assert months_before(month, count) == found


@pytest.mark.parametrize(
    ("month", "is_due"), [("2026-11", False), ("2026-10", False), ("2026-09", True), ("2024-12", True)]
)
def test_a_month_is_due_when_it_is_over_by_its_retention(month: str, is_due: bool) -> None:
    assert bool(due([key(month=month)], {"claim": 1}, "2026-11")) == is_due
    assert not due([key(month=month, entry_class="decision")], {"claim": 1}, "2026-11")


@pytest.mark.parametrize(
    ("name", "hold", "is_free"),
    [
        ("of everybody", Hold(id="h"), False),
        ("of this one", Hold(id="h", subject="ada"), False),
        ("of another", Hold(id="h", subject="bob"), True),
        ("released", Hold(id="h", released_ns=1), True),
        ("before the month", Hold(id="h", end_ns=NOVEMBER), True),
        ("into the month", Hold(id="h", end_ns=NOVEMBER + 1), False),
        ("from within the month", Hold(id="h", start_ns=DECEMBER - 1), False),
        ("after the month", Hold(id="h", start_ns=DECEMBER), True),
    ],
)
def test_a_hold_covers_the_months_it_touches(name: str, hold: Hold, is_free: bool) -> None:
    assert bool(free([key()], [Hold(id="other", subject="eve"), hold])) == is_free


@pytest.mark.parametrize("setting", ["claim", "claim=0", "claim=x", "claims=1", "claim=-1", "=1", "claim=1.5"])
def test_a_retention_that_is_none_is_refused(setting: str) -> None:
    with pytest.raises(AuditError, match="CLASS=MONTHS"):
        parse_retention([setting])


def test_retention_is_by_class() -> None:
    assert parse_retention(["decision=13", "claim=1"]) == {"decision": 13, "claim": 1}
