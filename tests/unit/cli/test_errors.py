"""Every failure is one line and a documented exit code."""

import grpc
import pytest
from stockade_agent.errors import Exhausted, InvalidRequest, NotFound, Refused, StockadeError, Unreachable
from stockade_cli.errors import failed
from stockade_rpckit.errors import Failure


class Call(grpc.RpcError):
    """A failed call as a client sees it, carrying what a service's `Failure` sends."""

    def __init__(self, failure: Failure) -> None:
        self._failure = failure

    def code(self) -> grpc.StatusCode:
        return self._failure.code

    def details(self) -> str:
        return self._failure.message

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return (("grpc-status-details-bin", self._failure.status().SerializeToString()),)


CASES = [
    (grpc.StatusCode.NOT_FOUND, "SANDBOX_NOT_FOUND", NotFound, 4),
    (grpc.StatusCode.UNAVAILABLE, "RECORD_UNAVAILABLE", Unreachable, 3),
    (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED", Refused, 5),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_REACHED", Exhausted, 5),
    (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", InvalidRequest, 2),
    (grpc.StatusCode.INTERNAL, "INTERNAL", StockadeError, 1),
]


@pytest.mark.parametrize(("code", "reason", "kind", "exit_code"), CASES, ids=[case[1] for case in CASES])
def test_each_status_has_its_type_and_exit_code(
    code: grpc.StatusCode, reason: str, kind: type[StockadeError], exit_code: int
) -> None:
    call = Call(Failure(code, reason, "what to do", metadata={"a": "b"}, retry_after_s=1.5))
    error = StockadeError.of(call)
    assert type(error) is kind
    assert (error.reason, error.metadata, error.retry_after_s) == (reason, {"a": "b"}, 1.5)
    ending = failed(call)
    assert ending.code == exit_code
    assert ending.message == f"what to do [{reason}]"


def test_violations_are_named_in_the_line() -> None:
    failure = Failure(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "invalid", violations=[("limits.cpu", "must be finite")]
    )
    assert failed(Call(failure)).message == "invalid (limits.cpu: must be finite) [INVALID_REQUEST]"


def test_nobody_at_the_socket_says_how_to_start_a_stack() -> None:
    channel = grpc.insecure_channel("unix:/tmp/stockade-no-such.sock")
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/x/Y")(b"", timeout=5)
    channel.close()
    assert "stockade up" in failed(caught.value).message
    assert failed(caught.value).code == 3


def test_a_message_of_several_lines_becomes_one() -> None:
    call = Call(Failure(grpc.StatusCode.INTERNAL, "INTERNAL", "first\n  second"))
    assert failed(call).message == "first second [INTERNAL]"
