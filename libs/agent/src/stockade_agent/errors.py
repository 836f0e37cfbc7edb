"""What can go wrong, as typed errors. A refusal by policy is no error: it is a value with verdict, rule and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc

    from stockade_agent.decider import LocalDecision

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

    @property
    def other_node(self) -> str:
        """The node that has the sandbox which was named, where that is another one; else empty."""
        return self.metadata["node"] if self.reason == "SANDBOX_ON_OTHER_NODE" else ""

    @staticmethod
    def of(error: grpc.RpcError) -> StockadeError:
        """`error` with what its google.rpc.Status says; the subclass by its code."""
        from grpc_status import rpc_status

        call: Any = error
        details = rpc_status.from_call(call)
        facts = _facts(details.details) if details else {}
        code = call.code().name
        message = call.details() or code
        if code == "UNIMPLEMENTED" and not facts:
            message = f"the service does not know this call ({message}): it is older than this client; upgrade it"
        if code == "UNAVAILABLE" and not facts and (line := _distrust(message)):
            return Untrusted(line, code=code)
        if code == "CANCELLED" and not facts:
            message = "the service was ending and did not take the call; call again"
        return _BY_CODE.get(code, StockadeError)(message, code=code, **facts)


class Unreachable(StockadeError):
    """No service answers: none runs, or it is draining (UNAVAILABLE, and CANCELLED as it ends)."""


class Untrusted(Unreachable):
    """No connection, since one side does not believe the other's certificate, or a file of ours is none."""


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


class NotServed(StockadeError):
    """The service does not know the call, or does not serve it yet (UNIMPLEMENTED)."""


class NetworkPolicyError(StockadeError):
    """A request that does not go out, for code that wants an exception.

    Attributes:
        verdict: BLOCKED (asking again changes nothing) or RATE_LIMITED (`retry_after_s` says when it may).
        rule: what decided, for programs, e.g. "block_unknown_domains".
        reason: the same for people.
        decision_id: the decision in the audit record; empty for one made in this process, which is reported later.
    """

    def __init__(
        self, verdict: str, *, rule: str, reason: str, decision_id: str = "", retry_after_s: float | None = None
    ) -> None:
        code = "RESOURCE_EXHAUSTED" if verdict == "RATE_LIMITED" else "PERMISSION_DENIED"
        super().__init__(f"{verdict} by {rule}: {reason}", code=code, reason=reason, retry_after_s=retry_after_s)
        self.verdict = verdict
        self.rule = rule
        self.decision_id = decision_id

    @classmethod
    def of_decision(cls, decision: LocalDecision) -> NetworkPolicyError:
        """From a decision that is not `allowed`."""
        retry = decision.retry_after_s or None
        verdict = "RATE_LIMITED" if retry else "BLOCKED"
        return cls(
            verdict,
            rule=decision.rule,
            reason=decision.reason,
            decision_id=decision.decision_id,
            retry_after_s=retry,
        )


_BY_CODE: dict[str, type[StockadeError]] = {
    "UNAVAILABLE": Unreachable,
    "CANCELLED": Unreachable,
    "NOT_FOUND": NotFound,
    "INVALID_ARGUMENT": InvalidRequest,
    "PERMISSION_DENIED": Refused,
    "UNAUTHENTICATED": Refused,
    "RESOURCE_EXHAUSTED": Exhausted,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": NotServed,
}


_DISTRUST = {
    "certificate has expired": "the server's certificate has expired; have it renewed there",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is of no authority that is believed here; name its CA",
    "Hostname Verification Check failed": "the server's certificate is for another name; name it as TLS_NAME",
    "WRONG_VERSION_NUMBER": "no TLS is spoken there",
    "_ALERT_": "the server does not believe our certificate, or wants one",
    "Socket closed": "the server ended the connection at once: it may not believe our certificate, or want one",
}


def _distrust(message: str) -> str:
    """What gRPC's words for a failed handshake mean; "" for other words, and on a Unix socket."""
    if "ipv4:" not in message and "ipv6:" not in message:
        return ""
    return next((line for sign, line in _DISTRUST.items() if sign in message), "")


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
