"""What goes wrong with the record."""


class AuditError(Exception):
    """The record cannot be opened, written, read or trusted; the message names the mend."""


class RecordUnavailable(AuditError):
    """An entry did not become durable in time, so what it records must not be done. Retry later."""


class SlotBusy(AuditError):
    """Another process appends to this slot."""


class JournalDamaged(AuditError):
    """A journal's file holds what its writer did not write."""
