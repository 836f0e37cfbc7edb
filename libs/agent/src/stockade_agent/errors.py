"""What can go wrong, as typed errors. A refusal by policy is no error: it is a value with verdict, rule and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc

DOMAIN = "stockade.dev"


class StockadeError(Exception):
    """A call that failed.

    Attributes:
        message: one line that names the mend.
        code: the gRPC status by name, e.g. "NOT_FOUND".
        reason: a name of `stockade.errors.v1.Reason` without its prefix, e.g. "SANDBOX_NOT_FOUND"; empty when the
            failure did not come from a Stockade service.
        metadata: facts for programs.
        retry_after_s: seconds after which a retry may succeed, or None.
        violations: (field, what is wrong with it) pairs of an invalid request.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNKNOWN",
        reason: str = "",
        metadata: dict[str, str] | None = None,
        retry_after_s: float | None = None,
        violations: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = metadata or {}
        self.retry_after_s = retry_after_s
        self.violations = violations

    @staticmethod
    def of(error: grpc.RpcError) -> StockadeError:
        """`error` with what its google.rpc.Status says; the subclass by its code."""
        from grpc_status import rpc_status

        call: Any = error
        details = rpc_status.from_call(call)
        facts = _facts(details.details) if details else {}
        code = call.code().name
        return _BY_CODE.get(code, StockadeError)(call.details() or code, code=code, **facts)


class Unreachable(StockadeError):
    """No service answers: none runs, or it is draining (UNAVAILABLE)."""


class NotFound(StockadeError):
    """What was named does not exist (NOT_FOUND)."""


class InvalidRequest(StockadeError):
    """The request breaks a rule; `violations` names the fields (INVALID_ARGUMENT)."""


class Refused(StockadeError):
    """The caller may not do this (PERMISSION_DENIED, UNAUTHENTICATED)."""


class Exhausted(StockadeError):
    """A ceiling or quota is reached (RESOURCE_EXHAUSTED)."""


class DeadlineExceeded(StockadeError):
    """The call took longer than it was given (DEADLINE_EXCEEDED)."""


_BY_CODE: dict[str, type[StockadeError]] = {
    "UNAVAILABLE": Unreachable,
    "NOT_FOUND": NotFound,
    "INVALID_ARGUMENT": InvalidRequest,
    "PERMISSION_DENIED": Refused,
    "UNAUTHENTICATED": Refused,
    "RESOURCE_EXHAUSTED": Exhausted,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}


def _facts(details: Any) -> dict[str, Any]:
    from google.rpc import error_details_pb2

    facts: dict[str, Any] = {}
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in details:
        if detail.Unpack(info):
            facts |= {"reason": info.reason, "metadata": dict(info.metadata)}
        elif detail.Unpack(bad):
            facts["violations"] = tuple((v.field, v.description) for v in bad.field_violations)
        elif detail.Unpack(retry):
            facts["retry_after_s"] = retry.retry_delay.ToNanoseconds() / 1e9
    return facts
