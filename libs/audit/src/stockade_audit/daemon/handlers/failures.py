"""What the daemon's exceptions are to a caller."""

from collections.abc import Callable
from typing import Any

from grpc import StatusCode
from stockade_rpckit.errors import Failure, FailureTable

from stockade_audit.daemon.domain import errors
from stockade_audit.head import HeadRefused
from stockade_audit.keystore import KeysUnavailable


def _failure(code: StatusCode, reason: str, *facts: str) -> Callable[[Any], Failure]:
    """`facts` are attributes of the exception that become metadata."""

    def make(error: Any) -> Failure:
        metadata = {fact: str(getattr(error, fact)) for fact in facts}
        retry_after_s = getattr(error, "retry_after_s", None)
        return Failure(code, reason, str(error), metadata=metadata, retry_after_s=retry_after_s)

    return make


FAILURES: FailureTable = {
    errors.PageTokenInvalid: _failure(StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"),
    errors.EntryNotFound: _failure(StatusCode.NOT_FOUND, "ENTRY_NOT_FOUND", "identity"),
    errors.RecordDamaged: _failure(StatusCode.DATA_LOSS, "RECORD_DAMAGED", "slot", "position"),
    errors.JournalNotFound: _failure(StatusCode.NOT_FOUND, "JOURNAL_NOT_FOUND", "slot"),
    errors.ProofNotPossible: _failure(StatusCode.OUT_OF_RANGE, "PROOF_NOT_POSSIBLE"),
    errors.TailTooSlow: _failure(StatusCode.ABORTED, "TAIL_TOO_SLOW"),
    errors.FindingNotFound: _failure(StatusCode.NOT_FOUND, "FINDING_NOT_FOUND", "identity"),
    errors.TraceNotFound: _failure(StatusCode.NOT_FOUND, "TRACE_NOT_FOUND", "trace_id"),
    errors.KeyNotRotated: _failure(StatusCode.UNAVAILABLE, "KEY_NOT_ROTATED", "slot"),
    errors.SubjectHeld: _failure(StatusCode.FAILED_PRECONDITION, "SUBJECT_HELD", "hold"),
    errors.HoldNotFound: _failure(StatusCode.NOT_FOUND, "HOLD_NOT_FOUND", "id"),
    errors.RequestIdReused: _failure(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", "request_id"),
    errors.ClaimsTooFast: _failure(StatusCode.RESOURCE_EXHAUSTED, "CLAIMS_TOO_FAST", "agent"),
    errors.PeriodNotCovered: _failure(StatusCode.FAILED_PRECONDITION, "PERIOD_NOT_COVERED", "covered_until"),
    errors.TooManyOrigins: _failure(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_ORIGINS"),
    errors.FleetNotKept: _failure(StatusCode.FAILED_PRECONDITION, "FLEET_NOT_KEPT"),
    errors.FleetDiffers: _failure(StatusCode.FAILED_PRECONDITION, "HEAD_NOT_CONSISTENT"),
    errors.NodeNotFound: _failure(StatusCode.NOT_FOUND, "NODE_NOT_FOUND", "node"),
    errors.CopyUnavailable: _failure(StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "dependency"),
    KeysUnavailable: _failure(StatusCode.UNAVAILABLE, "RECORD_UNAVAILABLE"),
    HeadRefused: _failure(StatusCode.FAILED_PRECONDITION, "HEAD_NOT_CONSISTENT", "journal"),
}
