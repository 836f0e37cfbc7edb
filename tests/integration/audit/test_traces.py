"""Spans taken by OTLP, kept, shown, dropped in time, and passed on to a collector that may be away."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import entry_pb2
from stockade.audit.v1 import trace_service_pb2 as traces
from stockade_audit.daemon.adapters.spans_sqlite import SqliteSpans
from stockade_audit.daemon.domain.span import Span as KeptSpan
from stockade_audit.daemon.domain.span import TraceQuery
from stockade_audit.keystore_sqlite import SqliteKeyStore
from stockade_audit.pseudonyms import pseudonyms
from stockade_rpckit.errors import details_of

from support.audit_cli import record
from support.auditd import Auditd, eventually
from support.journals import entry, leaves

NOW = 1_795_510_539_000_000_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(number: int, parent: int = 0, trace: str = TRACE, **fields: Any) -> Span:
    return Span(
        **{
            "trace_id": bytes.fromhex(trace),
            "span_id": number.to_bytes(8, "big"),
            "parent_span_id": parent.to_bytes(8, "big") if parent else b"",
            "name": f"step {number}",
            "kind": Span.SPAN_KIND_SERVER,
            "start_time_unix_nano": NOW + number * 1_000_000,
            "end_time_unix_nano": NOW + number * 1_000_000 + 5_000_000,
            **fields,
        }
    )


def request(service: str, *spans: Span) -> otlp.ExportTraceServiceRequest:
    resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value=service))])
    return otlp.ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)])]
    )


def send(auditd: Auditd, *requests: otlp.ExportTraceServiceRequest, place: str = "services", **call: Any) -> None:
    stub: Any = otlp_grpc.TraceServiceStub(auditd.channel(place))  # type: ignore[no-untyped-call]
    for one in requests:
        stub.Export(one, **call)


def kept(auditd: Auditd, count: int, trace: str = TRACE) -> list[Any]:
    """The spans of a trace once so many are there."""

    def found() -> list[Any] | None:
        try:
            spans = list(auditd.traces().GetTrace(traces.GetTraceRequest(trace_id=trace)).spans)
        except grpc.RpcError:
            return None
        return spans if len(spans) >= count else None

    return eventually(found)


def test_a_trace_of_two_services_comes_back_whole(auditd: Auditd) -> None:
    values = [
        KeyValue(key="text", value=AnyValue(string_value="x" * 10_000)),
        KeyValue(
            key="list", value=AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(int_value=2)]))
        ),
    ]
    failed = Status(code=Status.STATUS_CODE_ERROR, message="it broke")
    link = Span.Link(trace_id=bytes(16), span_id=bytes(8))
    first = request("one", span(1, attributes=values), span(3, 2, status=failed, links=[link]))
    send(auditd, first, request("two", span(2, 1, name="call")))
    spans = kept(auditd, 3)
    assert [(s.service, s.name, s.parent_span_id[-1:], s.status) for s in spans] == [
        ("one", "step 1", "", 0),
        ("two", "call", "1", 0),
        ("one", "step 3", "2", traces.SPAN_STATUS_ERROR),
    ]
    assert len(spans[0].attributes["text"]) == 4096
    assert spans[0].attributes["list"] == "1, 2"
    assert spans[0].duration.ToNanoseconds() == 5_000_000
    assert list(spans[2].links) == ["0" * 32 + "-" + "0" * 16]


def test_traces_are_listed_by_what_is_asked(auditd: Auditd) -> None:
    ids = [f"{n:032x}" for n in range(1, 6)]
    for n, trace in enumerate(ids):
        status = Status(code=Status.STATUS_CODE_ERROR if n == 2 else Status.STATUS_CODE_OK)
        end = NOW + (n + 1) * 100_000_000
        one = span(1, trace=trace, start_time_unix_nano=NOW + n, end_time_unix_nano=end, status=status)
        send(auditd, request("even" if n % 2 == 0 else "odd", one))
    kept(auditd, 1, ids[-1])
    stub = auditd.traces()

    def listed(**asked: Any) -> list[int]:
        found: list[int] = []
        token = ""
        while True:
            wanted = traces.ListTracesRequest(**asked, page_size=2, page_token=token)
            page = stub.ListTraces(wanted)
            found += [int(t.trace_id, 16) for t in page.traces if int(t.trace_id, 16) <= 5]
            token = page.next_page_token
            if not token:
                return found

    assert listed() == [5, 4, 3, 2, 1]
    assert listed(service="even") == [5, 3, 1]
    assert listed(errors_only=True) == [3]
    assert listed(min_duration=Duration(nanos=350_000_000)) == [5, 4]
    assert listed(name="step 9") == []


@pytest.mark.parametrize("prefix", ["ffffff", "000000"])
def test_a_trace_that_is_not_there_or_not_one_is_said_to_be_so(auditd: Auditd, prefix: str) -> None:
    send(auditd, *(request("one", span(1, trace=f"{n:032x}")) for n in (1, 2)))
    kept(auditd, 1, f"{2:032x}")
    with pytest.raises(grpc.RpcError) as failed:
        auditd.traces().GetTrace(traces.GetTraceRequest(trace_id=prefix))
    assert details_of(failed.value)["reason"] == "TRACE_NOT_FOUND"


def test_an_agent_writes_no_spans(auditd: Auditd) -> None:
    agent = (("x-stockade-agent", "a"), ("x-stockade-agent-type", "t"), ("x-stockade-sandbox", "sb-aaaaaaaaaaaa"))
    with pytest.raises(grpc.RpcError) as failed:
        send(auditd, request("network-policy", span(1)), place="gate", metadata=agent)
    assert details_of(failed.value)["reason"] == "CALLER_NOT_ALLOWED"


def test_a_span_of_a_kind_that_is_not_known_ends_nothing(auditd: Auditd) -> None:
    send(auditd, request("later", span(1, kind=99)))
    send(auditd, request("now", span(2, 1)))
    assert [(s.name, s.kind) for s in kept(auditd, 2)] == [("step 1", "UNSPECIFIED"), ("step 2", "SERVER")]


def test_exports_of_spans_make_no_spans(auditd: Auditd) -> None:
    send(auditd, request("one", span(1)))
    kept(auditd, 1)
    time.sleep(1.0)
    names = [t.name for t in auditd.traces().ListTraces(traces.ListTracesRequest(page_size=1000)).traces]
    assert not [name for name in names if "opentelemetry" in name or "health" in name]


class Collector(otlp_grpc.TraceServiceServicer):
    """A real OTLP receiver."""

    def __init__(self) -> None:
        self.spans: list[str] = []

    def Export(self, asked: otlp.ExportTraceServiceRequest, _context: Any) -> otlp.ExportTraceServiceResponse:
        for resource in asked.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [found.span_id.hex() for found in scope.spans]
        return otlp.ExportTraceServiceResponse()

    def serve(self, address: str) -> grpc.Server:
        server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        otlp_grpc.add_TraceServiceServicer_to_server(self, server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(address)
        server.start()
        return server


@pytest.fixture
def forwarding(base: Path) -> Iterator[Auditd]:
    daemon = Auditd(base, {"OTLP_ENDPOINT": f"unix:{base}/otlp.sock"}).start()
    yield daemon
    daemon.stop()


def test_a_collector_gets_every_span_even_when_it_comes_late(forwarding: Auditd, base: Path) -> None:
    started = time.monotonic()
    send(forwarding, *(request("one", span(n)) for n in range(1, 101)))
    assert time.monotonic() - started < 2.0, "nobody waits for a collector that is not there"
    kept(forwarding, 100)
    collector = Collector()
    server = collector.serve(f"unix:{base}/otlp.sock")
    eventually(lambda: {f"{n:016x}" for n in range(1, 101)} <= set(collector.spans), within=20)
    server.stop(0).wait()


def test_a_frozen_collector_keeps_nobody_waiting(forwarding: Auditd, base: Path) -> None:
    """Frozen and back: no call is slower than before by more than noise, the record is whole, and the spans arrive."""
    command = [sys.executable, "-c", COLLECT, str(base / "otlp.sock"), str(base / "spans")]
    collector = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        eventually(lambda: (base / "otlp.sock").exists())
        before = append_seconds(forwarding, 0)
        collector.send_signal(signal.SIGSTOP)
        send(forwarding, *(request("one", span(n)) for n in range(1, 101)))
        frozen = append_seconds(forwarding, 200)
        collector.send_signal(signal.SIGCONT)
        wanted = {f"{n:016x}" for n in range(1, 101)}
        eventually(lambda: wanted <= set((base / "spans").read_text().split()), within=40)
        back = append_seconds(forwarding, 400)
        assert max(frozen, back) < before * 3 + 0.05, (before, frozen, back)
        written = {leaf["id"] for leaf in leaves(forwarding.journals / "audit-0") if leaf["action"] == "CALLED"}
        assert written == {f"id-{start + n}" for start in (0, 200, 400) for n in range(50)}
    finally:
        collector.kill()
        collector.wait()


COLLECT = """
import sys, time
from pathlib import Path
from support.otlp import receiver
with receiver(Path(sys.argv[1])) as collector:
    while True:
        with collector.lock:
            Path(sys.argv[2]).write_text(" ".join(span.id for span in collector.spans))
        time.sleep(0.05)
"""


def append_seconds(auditd: Auditd, start: int) -> float:
    """The median of fifty recorded calls."""
    stub, taken = auditd.entries("services"), []
    for n in range(start, start + 50):
        begun = time.monotonic()
        stub.AppendEntry(audit.AppendEntryRequest(entry=entry_pb2.Entry(id=f"id-{n}", action="ACTION_CALLED")))
        taken.append(time.monotonic() - begun)
    return sorted(taken)[25]


def test_the_store_keeps_its_bounds(tmp_path: Path) -> None:
    store = SqliteSpans(tmp_path / "spans.sqlite")
    store.add(
        [
            KeptSpan(trace_id=f"{n // 10:032x}", span_id=f"{n:016x}", name="n", start_ns=n, end_ns=n + 1)
            for n in range(100)
        ]
    )
    assert store.prune(before_ns=25, keep=1000) == 25
    assert store.prune(before_ns=0, keep=50) == 25
    assert sum(len(store.trace(t.trace_id)) for t in store.traces(TraceQuery(limit=100))) == 50
    store.close()


def test_spans_name_subjects_by_pseudonyms_that_are_shown_as_long_as_they_are_known(auditd: Auditd) -> None:
    record(auditd, entry(agent="agent-1"))
    keys = SqliteKeyStore(auditd.base / "state" / "audit" / "keys")
    name = pseudonyms(keys.pseudonym_key())("agent-1")
    caller = KeyValue(key="stockade.principal", value=AnyValue(string_value=f"agent:{name}"))
    failed = Status(code=Status.STATUS_CODE_ERROR, message="no room: agent-1, agent-10.")
    send(auditd, request("one", span(1, attributes=[caller], status=failed)))
    (found,) = kept(auditd, 1)
    assert found.attributes["stockade.principal"] == "agent:agent-1"
    assert found.status_message == f"no room: {name}, agent-10."
    keys.destroy([key.number for key in keys.kept("agent-1")])
    keys.close()
    assert kept(auditd, 1)[0].attributes["stockade.principal"] == f"agent:{name}"
