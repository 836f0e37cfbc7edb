"""The audit record: append-only journals, signed heads, an index, and the daemon that serves them.

Services need this package only; the daemon (`stockade_audit.daemon`) wants the extra `daemon`.
"""

from stockade_audit.entry import Action, Entry, new_entry_id
from stockade_audit.errors import AuditError, JournalDamaged, RecordUnavailable, SlotBusy
from stockade_audit.journal import Journal

__all__ = [
    "Action",
    "AuditError",
    "Entry",
    "Journal",
    "JournalDamaged",
    "RecordUnavailable",
    "SlotBusy",
    "new_entry_id",
]
