"""How long what is personal stays readable, by class of entries."""

from collections.abc import Iterable, Mapping

from stockade_audit.daemon.domain.hold import months_before
from stockade_audit.entry import EntryClass
from stockade_audit.errors import AuditError
from stockade_audit.keystore import KeptKey


def parse_retention(settings: Iterable[str]) -> dict[str, int]:
    """Months by class, of `decision=13`; AuditError for what is none. A class that is not named is kept for ever."""
    return dict(_parse(setting) for setting in settings)


def _parse(setting: str) -> tuple[str, int]:
    entry_class, _, months = setting.partition("=")
    if entry_class not in list(EntryClass) or not months.isdecimal() or int(months) < 1:
        classes = ", ".join(EntryClass)
        raise AuditError(f"retention {setting!r} is not CLASS=MONTHS; classes are {classes}, months at least 1")
    return entry_class, int(months)


def due(keys: Iterable[KeptKey], retention: Mapping[str, int], month: str) -> list[KeptKey]:
    """The keys whose month is over by more than their class's retention."""
    oldest = {entry_class: months_before(month, months) for entry_class, months in retention.items()}
    return [key for key in keys if key.name.month < oldest.get(key.name.entry_class, "")]
