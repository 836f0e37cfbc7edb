"""RPC errors: one shape for all. Each carries one google.rpc.ErrorInfo with a reason of `stockade.errors.v1`.

Domain code raises its own plain exceptions; a service's failure table turns them into a `Failure` at the edge.
"""

from collections.abc import Callable, Iterable, Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "stockade.dev"
DETAILS_KEY = "grpc-status-details-bin"
"""Where gRPC carries a google.rpc.Status (https://github.com/grpc/proposal/blob/master/L1-cpp-stream-details.md)."""
NOT_AGAIN = ("grpc-retry-pushback-ms", "-1")
"""How a server stops a client's retries (https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback)."""


class Failure(Exception):
    """Why a call failed, as the caller will read it.

    Args:
        code: the gRPC status.
        reason: a name in `stockade.errors.v1.Reason`, without REASON_.
        message: one line that names the mend.
        metadata: facts for programs, string to string.
        retry_after_s: seconds after which a retry may succeed.
        violations: (field path, what is wrong with it) pairs.
        repeatable: whether gRPC's own retries may send the call again as it is.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        violations: Iterable[tuple[str, str]] = (),
        repeatable: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.violations = tuple(violations)
        self.repeatable = repeatable

    def status(self) -> status_pb2.Status:
        """This failure as google.rpc.Status with its details."""
        status = status_pb2.Status(code=code_pb2.Code.Value(self.code.name), message=self.message)
        status.details.extend(_packed(detail) for detail in self._details())
        return status

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What the caller gets beside status and message."""
        details = (DETAILS_KEY, self.status().SerializeToString())
        return (details,) if self.repeatable else (details, NOT_AGAIN)

    def _details(self) -> Iterable[Message]:
        yield error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)
        if self.violations:
            yield error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
                    for field, description in self.violations
                ]
            )
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(int(self.retry_after_s * 1e9))
            yield error_details_pb2.RetryInfo(retry_delay=delay)


FailureTable = Mapping[type[Exception], Callable[[Exception], Failure]]
"""A service's domain exceptions, each with the function that makes a `Failure` of it."""


def failure_of(error: BaseException, table: FailureTable) -> Failure | None:
    """What `error` is to the caller; None for one nobody expected, which is a defect of ours."""
    if isinstance(error, Failure):
        return error
    for cls in type(error).__mro__:
        if cls in table and isinstance(error, Exception):
            return table[cls](error)
    return None


def internal(trace_id: str) -> Failure:
    """The failure for a defect of ours: the caller gets the trace's id, the log has the rest."""
    return Failure(
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        f"internal error; the service's log has it under trace {trace_id}",
        metadata={"trace_id": trace_id},
    )


def details_of(error: grpc.RpcError | grpc.aio.AioRpcError) -> dict[str, object]:
    """A client's view of a failed call: {code, message, reason, metadata, retry_after_s, violations}."""
    found: dict[str, object] = {"code": error.code().name, "message": error.details() or ""}
    trailing = dict(error.trailing_metadata() or ())
    if DETAILS_KEY in trailing:
        status = status_pb2.Status.FromString(trailing[DETAILS_KEY])
        for detail in status.details:
            _read_detail(detail, found)
    return found


def _read_detail(detail: any_pb2.Any, found: dict[str, object]) -> None:
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    if detail.Unpack(info):
        found["reason"], found["metadata"] = info.reason, dict(info.metadata)
    elif detail.Unpack(bad):
        found["violations"] = [(v.field, v.description) for v in bad.field_violations]
    elif detail.Unpack(retry):
        found["retry_after_s"] = retry.retry_delay.ToNanoseconds() / 1e9


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
