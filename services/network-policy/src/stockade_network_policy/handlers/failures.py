"""What the domain's exceptions are to a caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from stockade_rpckit.errors import Failure, FailureTable

from stockade_network_policy.domain import errors

_STATUS = grpc.StatusCode


def caller_not_allowed(message: str) -> Failure:
    """An agent that would act for another."""
    return Failure(_STATUS.PERMISSION_DENIED, "CALLER_NOT_ALLOWED", message)


def invalid_request(field: str, message: str) -> Failure:
    """A field that the contract's rules alone could not judge."""
    return Failure(
        _STATUS.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        f"{field}: {message}",
        metadata={"field": field},
        violations=[(field, message)],
    )


def page_token_invalid() -> Failure:
    """A page token that this server did not give for this list."""
    return Failure(_STATUS.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", "page_token: give the next_page_token of this list")


def decision_not_found(decision_id: str) -> Failure:
    """No such decision of this caller."""
    return Failure(
        _STATUS.NOT_FOUND,
        "DECISION_NOT_FOUND",
        f"no recent decision {decision_id} of yours; `stockade audit list` shows all there were",
        metadata={"decision_id": decision_id},
    )


def _invalid(error: Any) -> Failure:
    violations = [
        (m.field, f"line {m.line}: {m.message}; {m.mend}" if m.line else f"{m.message}; {m.mend}")
        for m in error.mistakes
    ]
    return Failure(
        _STATUS.INVALID_ARGUMENT,
        "POLICY_INVALID",
        str(error),
        metadata={"mistakes": str(len(error.mistakes))},
        violations=violations[:100],
    )


def _lease_unavailable(error: Any) -> Failure:
    metadata = {} if error.retry_after_s is None else {"retry_after_ms": str(round(error.retry_after_s * 1000))}
    return Failure(
        _STATUS.RESOURCE_EXHAUSTED,
        "LEASE_UNAVAILABLE",
        str(error),
        metadata=metadata,
        retry_after_s=error.retry_after_s,
    )


def _table(
    code: grpc.StatusCode, reason: str, metadata: Callable[[Any], dict[str, str]], retry_after_s: float | None = None
) -> Callable[[Exception], Failure]:
    return lambda error: Failure(code, reason, str(error), metadata=metadata(error), retry_after_s=retry_after_s)


def _agent_type(error: Any) -> dict[str, str]:
    return {"agent_type": error.agent_type}


FAILURES: FailureTable = {
    errors.PolicyInvalid: _invalid,
    errors.PolicyNotFound: _table(_STATUS.NOT_FOUND, "POLICY_NOT_FOUND", _agent_type),
    errors.PolicyExists: _table(_STATUS.ALREADY_EXISTS, "POLICY_EXISTS", _agent_type),
    errors.PolicyRequired: _table(_STATUS.FAILED_PRECONDITION, "POLICY_REQUIRED", lambda _: {"agent_type": "default"}),
    errors.EtagMismatch: _table(_STATUS.ABORTED, "ETAG_MISMATCH", lambda e: {"current": e.current}),
    errors.RequestIdReused: _table(_STATUS.ALREADY_EXISTS, "REQUEST_ID_REUSED", lambda e: {"request_id": e.request_id}),
    errors.LeaseUnavailable: _lease_unavailable,
    errors.LeaseNotFound: _table(_STATUS.NOT_FOUND, "LEASE_NOT_FOUND", lambda e: {"lease_id": e.lease_id}),
    errors.LeaseExpired: _table(_STATUS.FAILED_PRECONDITION, "LEASE_EXPIRED", lambda e: {"lease_id": e.lease_id}),
    errors.PoliciesUnavailable: _table(_STATUS.UNAVAILABLE, "POLICIES_UNAVAILABLE", lambda _: {}, retry_after_s=1.0),
    errors.LimitsUnavailable: _table(_STATUS.UNAVAILABLE, "LIMITS_UNAVAILABLE", lambda _: {}, retry_after_s=1.0),
}
