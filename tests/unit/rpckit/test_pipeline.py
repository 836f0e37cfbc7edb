"""What a call leaves behind, for all four kinds of RPC and every way a call can end: status, details, span, entry."""

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.trace import StatusCode
from stockade_rpckit.errors import details_of
from stockade_rpckit.pace import Pace
from stockade_rpckit.pipeline import MOST_CALLS

from support.probe import messages
from support.served import Served

KINDS = ("One", "OneMany", "ManyOne", "ManyMany")
AGENT = (
    ("x-stockade-agent", "qe-test-generator.main"),
    ("x-stockade-agent-type", "test-generator"),
    ("x-stockade-sandbox", "sb-abcdefgh2345"),
)


def call(stub: Any, kind: str, mood: str = "", **options: Any) -> list[str]:
    """Call the probe's RPC of a kind once and return the texts it answered with."""
    request = messages.Ask(name="ada", mood=mood)
    argument = iter([request]) if kind.startswith("Many") else request
    answer = getattr(stub, kind)(argument, **{"timeout": 5, **options})
    return [a.text for a in answer] if kind.endswith("Many") else [answer.text]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_traced_and_recorded(served: Served, kind: str) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    metadata = (("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"),)
    assert call(served.stub("operators/ada"), kind, metadata=metadata) == ["hello ada"]
    (span,) = served.spans()
    assert f"{span.context.trace_id:032x}" == trace_id
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.attributes["rpc.response.status_code"] == "OK"
    (entry,) = served.entries()
    assert entry["principal"] == "ada"
    assert entry["principal_kind"] == "operator"
    assert (entry["trace_id"], entry["span_id"]) == (trace_id, f"{span.context.span_id:016x}")
    assert entry["status"] == "OK"
    assert entry["method"] == f"probe.v1.Probe/{kind}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mood", "code", "reason", "span_status"),
    [
        ("fail", "NOT_FOUND", "SANDBOX_NOT_FOUND", StatusCode.UNSET),
        ("domain", "NOT_FOUND", "SANDBOX_NOT_FOUND", StatusCode.UNSET),
        ("raise", "INTERNAL", "INTERNAL", StatusCode.ERROR),
        ("abort", "ABORTED", None, StatusCode.UNSET),
    ],
)
def test_a_failure_reaches_caller_span_and_record(
    served: Served, kind: str, mood: str, code: str, reason: str | None, span_status: StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        call(served.stub("operators/ada"), kind, mood)
    found = details_of(failed.value)
    assert (found["code"], found.get("reason")) == (code, reason)
    assert mood != "fail" or found["retry_after_s"] == 1.5
    (span,) = served.spans()
    assert span.attributes["rpc.response.status_code"] == code
    assert span.status.status_code is span_status
    (entry,) = served.entries()
    assert entry["status"] == code


def test_what_is_called_often_is_recorded_each_time_with_few_spans(served: Served) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    stub = served.stub("operators/ada")
    begun = time.monotonic()
    for metadata in ((), (("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"),)) * 10:
        assert call(stub, "Often", metadata=metadata) == ["hello ada"]
    seconds = int(time.monotonic() - begun) + 2  # how many of the clock's were touched
    assert 1 <= len(served.spans()) <= seconds
    entries = served.entries()
    assert len({entry["span_id"] for entry in entries}) == 20
    assert [entry["trace_id"] for entry in entries[1::2]] == [trace_id] * 10
    assert len({entry["trace_id"] for entry in entries}) == 11


def test_a_defect_tells_the_caller_the_trace_and_nothing_else(served: Served) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        call(served.stub("operators/ada"), "One", "raise")
    (span,) = served.spans()
    assert f"{span.context.trace_id:032x}" in failed.value.details()
    assert "ZeroDivisionError" not in failed.value.details()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["cancel", "deadline"])
def test_a_call_that_its_client_gave_up_is_recorded_as_cancelled(served: Served, kind: str, end: str) -> None:
    with pytest.raises(grpc.RpcError):
        call(served.stub("operators/ada"), kind, "wait", timeout=0.3)
    assert _eventually(served)[0]["status"] == "CANCELLED"
    assert served.spans()[0].attributes["rpc.response.status_code"] == "CANCELLED"


@pytest.mark.parametrize("kind", ["OneMany", "ManyMany"])
def test_a_stream_that_its_client_left_unread_is_recorded_as_cancelled(
    served: Served, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = messages.Ask(name="ada", mood="flood")
    answers = getattr(served.stub("operators/ada"), kind)(iter([request]) if kind == "ManyMany" else request)
    assert next(answers).text == "hello ada"
    time.sleep(0.2)  # what the client does not read fills the connection, and the service waits to send
    answers.cancel()
    assert [entry["status"] for entry in _eventually(served)] == ["CANCELLED"]
    assert served.spans()[0].attributes["rpc.response.status_code"] == "CANCELLED"
    assert caplog.messages == []


def _eventually(served: Served) -> list[dict[str, Any]]:
    for _ in range(50):
        if entries := served.entries():
            return entries
        time.sleep(0.05)
    return []


def test_an_intent_is_durable_before_and_closed_after(served: Served) -> None:
    call(served.stub("operators/ada"), "Intend")
    intent, outcome = served.entries()
    assert (intent["action"], outcome["action"]) == ("INTENT", "OUTCOME")
    assert outcome["intent_id"] == intent["id"]
    assert intent["resource"] == "ada"


def test_folded_calls_are_counted_into_one_entry(served: Served) -> None:
    stub = served.stub("operators/ada")
    for _ in range(50):
        call(stub, "Fold")
    (entry,) = served.entries()
    assert entry["action"] == "FOLDED"
    assert entry["metadata"]["count"] == 50


@pytest.mark.parametrize(
    ("place", "rpc", "metadata", "code", "reason"),
    [
        ("auditors/bob", "One", (), "PERMISSION_DENIED", "CALLER_NOT_ALLOWED"),
        ("services", "One", (), "PERMISSION_DENIED", "CALLER_NOT_ALLOWED"),
        ("operators/ada", "Nobody", (), "PERMISSION_DENIED", "CALLER_NOT_ALLOWED"),
        ("gate", "OneMany", AGENT, "PERMISSION_DENIED", "CALLER_NOT_ALLOWED"),
        ("gate", "One", (), "UNAUTHENTICATED", "IDENTITY_MISSING"),
        ("gate", "One", AGENT[:2], "UNAUTHENTICATED", "IDENTITY_MISSING"),
        ("operators/ada", "Later", (), "UNIMPLEMENTED", "NOT_SERVED_YET"),
    ],
)
def test_who_may_not_call_is_told_so_and_counted(
    served: Served, place: str, rpc: str, metadata: Any, code: str, reason: str
) -> None:
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as failed:
            call(served.stub(place), rpc, metadata=metadata)
    found = details_of(failed.value)
    assert (found["code"], found["reason"]) == (code, reason)
    recorded = served.entries()
    assert {entry["status"] for entry in recorded} == {code}
    if code != "UNIMPLEMENTED":
        assert [entry["metadata"]["count"] for entry in recorded] == [3]


def test_an_agent_is_who_the_gate_says(served: Served) -> None:
    call(served.stub("gate"), "One", metadata=AGENT)
    (entry,) = served.entries()
    assert (entry["principal_kind"], entry["principal"]) == ("agent", "qe-test-generator.main")
    assert (entry["agent_type"], entry["sandbox"]) == ("test-generator", "sb-abcdefgh2345")


def test_headers_mean_nothing_on_a_socket_that_is_not_the_gates(served: Served) -> None:
    call(served.stub("operators/ada"), "One", metadata=AGENT)
    (entry,) = served.entries()
    assert (entry["principal_kind"], entry["principal"]) == ("operator", "ada")
    assert "agent" not in entry


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_breaks_a_rule_names_the_field(served: Served, kind: str) -> None:
    request = messages.Ask(name="x" * 21)

    def requests() -> Iterator[Any]:
        yield request

    rpc = getattr(served.stub("operators/ada"), kind)
    with pytest.raises(grpc.RpcError) as failed:
        list(rpc(requests() if kind.startswith("Many") else request, timeout=5))
    found = details_of(failed.value)
    assert (found["code"], found["reason"]) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert found["violations"][0][0] == "name"  # type: ignore[index]


def test_a_sandbox_has_so_many_calls_open_and_no_more(served: Served) -> None:
    stub, other = served.stub("gate"), (*AGENT[:2], ("x-stockade-sandbox", "sb-bcdefghi2345"))
    waiting = [
        stub.One.future(messages.Ask(name="ada", mood="wait"), metadata=AGENT, timeout=30)
        for _ in range(MOST_CALLS + 8)
    ]
    assert "TOO_MANY_CALLS" in _reasons_until(stub, "TOO_MANY_CALLS")
    assert call(stub, "One", metadata=other) == ["hello ada"]
    assert call(served.stub("operators/ada"), "One") == ["hello ada"]
    for future in waiting:
        future.cancel()
    assert "" in _reasons_until(stub, "")


def _reasons_until(stub: Any, wanted: str) -> set[str]:
    """How an agent's calls end, one after the other, until one ends as `wanted`; an answer is "". At most 10 s."""
    found: set[str] = set()
    deadline = time.monotonic() + 10
    while wanted not in found and time.monotonic() < deadline:
        try:
            call(stub, "One", metadata=AGENT)
            found.add("")
        except grpc.RpcError as error:
            found.add(str(details_of(error)["reason"]))
    return found


def test_calls_of_an_agent_that_write_entries_wait_for_their_turn(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(served.recorder, "_pace", Pace(per_second=20, burst=2))
    asking, other = served.stub("gate"), served.stub("operators/ada")
    began = time.monotonic()
    for _ in range(8):
        call(asking, "One", metadata=AGENT)
    assert time.monotonic() - began > 0.25
    began = time.monotonic()
    for _ in range(8):
        call(other, "One")
    assert time.monotonic() - began < 0.25
