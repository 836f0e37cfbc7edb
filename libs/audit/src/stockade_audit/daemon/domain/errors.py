"""What the daemon answers when it cannot answer."""

from stockade_audit.errors import AuditError


class PageTokenInvalid(AuditError):
    """A page token that was not given for this question."""

    def __init__(self) -> None:
        super().__init__("this page token was not given for these filters: ask again without it")


class EntryNotFound(AuditError):
    """No entry of this id is indexed."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"no entry {identity!r} is indexed; one that was just written will be in a second")
        self.identity = identity


class RecordDamaged(AuditError):
    """What lies in a journal is not what was indexed."""

    def __init__(self, slot: str, position: int) -> None:
        super().__init__(f"entry {position} of the journal {slot} is not what was written: run `stockade audit verify`")
        self.slot, self.position = slot, position


class JournalNotFound(AuditError):
    """No journal of this slot."""

    def __init__(self, slot: str) -> None:
        super().__init__(f"there is no journal {slot!r}")
        self.slot = slot


class ProofNotPossible(AuditError):
    """No proof leads from the one size to the other."""


class TailTooSlow(AuditError):
    """A follower reads slower than the record grows."""


class FindingNotFound(AuditError):
    """No finding of this id."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"there is no finding {identity!r}; `stockade audit findings list` shows them")
        self.identity = identity


class TraceNotFound(AuditError):
    """No such trace is kept, or several begin alike."""

    def __init__(self, trace_id: str, several: bool = False) -> None:
        super().__init__(
            f"several traces begin with {trace_id}: give more digits" if several else f"no trace {trace_id} is kept"
        )
        self.trace_id = trace_id


class ClaimsTooFast(AuditError):
    """An agent makes claims faster than they are taken."""

    def __init__(self, agent: str, retry_after_s: float) -> None:
        super().__init__(f"{agent} makes claims faster than the record takes them: wait {retry_after_s:.1f} s")
        self.agent, self.retry_after_s = agent, retry_after_s


class CopyUnavailable(AuditError):
    """The copy beyond this machine cannot be reached, or is not ready to be written to."""

    dependency = "postgresql"


class CopyRefused(AuditError):
    """What is to be copied does not continue what the copy has."""

    def __init__(self, slot: str, why: str) -> None:
        super().__init__(f"the copy does not take the journal {slot}: {why}")
        self.slot = slot


class FleetNotKept(AuditError):
    """This daemon does not sign the fleet's head."""

    def __init__(self) -> None:
        super().__init__("the fleet's head is signed elsewhere: ask the daemon that has STOCKADE_AUDIT_FLEET set")


class FleetDiffers(AuditError):
    """The shared database has another history of the fleet than its signer."""


class NodeNotFound(AuditError):
    """No such node in the fleet."""

    def __init__(self, node: str) -> None:
        super().__init__(f"the fleet has no node {node!r}; `stockade audit fleet` shows them")
        self.node = node


class WitnessUnavailable(AuditError):
    """The witness cannot be reached."""


class TooManyOrigins(AuditError):
    """This daemon keeps heads of as many others as it will."""

    def __init__(self, most: int) -> None:
        super().__init__(f"heads of {most} origins are kept here already; use another witness")


class PeriodNotCovered(AuditError):
    """No witnessed head covers the period that evidence is asked of."""

    def __init__(self, why: str, covered_until: str) -> None:
        super().__init__(why)
        self.covered_until = covered_until


class KeyNotRotated(AuditError):
    """A journal still signs with the key that is to be replaced."""

    def __init__(self, slot: str) -> None:
        super().__init__(f"the process of {slot} does not run: it will sign with another key once it does")
        self.slot = slot


class SubjectHeld(AuditError):
    """A legal hold covers what is to be erased."""

    def __init__(self, hold: str) -> None:
        super().__init__(f"the legal hold {hold} covers this subject: release it first, `stockade audit hold release`")
        self.hold = hold


class HoldNotFound(AuditError):
    """No legal hold of this id."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"there is no hold {identity!r}; `stockade audit hold list` shows them")
        self.id = identity


class RequestIdReused(AuditError):
    """A request id that was used before, for something else."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the request id {request_id!r} was used for another hold: take a new one")
        self.request_id = request_id
