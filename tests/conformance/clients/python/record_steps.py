"""Steps on decisions, the audit record and traces."""

import secrets
from collections.abc import Iterator
from typing import Any

from context import Context, polled
from stockade.audit.v1 import audit_service_pb2 as audit_pb
from stockade.audit.v1 import audit_service_pb2_grpc, entry_pb2, trace_service_pb2, trace_service_pb2_grpc
from stockade.networkpolicy.v1 import decision_service_pb2 as pb
from stockade.networkpolicy.v1 import decision_service_pb2_grpc
from stockade.sandbox.v1 import exec_service_pb2, exec_service_pb2_grpc


def policy(context: Context) -> Any:
    return context.stub(decision_service_pb2_grpc.DecisionServiceStub, "policy")


def check(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Asks for one request as often as said; tells the last decision."""
    for _ in range(given.get("times", 1)):
        decision = decided(context, given)
    return {
        "verdict": pb.Verdict.Name(decision.verdict),
        "rule": decision.rule,
        "host": decision.canonical_host,
        "named": bool(decision.decision_id),
        "retry_after": decision.retry_after.ToMilliseconds() > 0,
    }


def record(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Says twice how an allowed request ended, and reads it back."""
    decision = decided(context, given)
    outcome = pb.RequestOutcome(status=given["status"], bytes_received=given["bytes_received"])
    request = pb.RecordRequestRequest(decision_id=decision.decision_id, outcome=outcome)
    recorded = [policy(context).RecordRequest(request).recorded for _ in range(2)]
    found = policy(context).GetDecision(pb.GetDecisionRequest(decision_id=decision.decision_id)).record
    return {"recorded": recorded, "status": found.outcome.status, "bytes_received": found.outcome.bytes_received}


def get_decision(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    policy(context).GetDecision(pb.GetDecisionRequest(decision_id=given["decision_id"]))
    return {}


def decided(context: Context, given: dict[str, Any]) -> pb.Decision:
    request = pb.RequestToCheck(
        agent=given.get("agent", ""), agent_type=given.get("agent_type", ""), host=given["host"], port=given["port"]
    )
    decision: pb.Decision = policy(context).CheckRequest(pb.CheckRequestRequest(request=request)).decision
    return decision


def audit(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Reads the record of an agent by pages, once its sandbox's making is in it."""
    selected = entry_pb2.EntryFilter(agents=[given["agent"]])
    for entries in polled(lambda: list(pages(context, selected, given["page_size"]))):
        actions = {entry_pb2.Action.Name(entry.action) for page in entries for entry in page}
        if "ACTION_SANDBOX_CREATED" in actions:
            break
    ids = [entry.id for page in entries for entry in page]
    times = [entry.time.ToNanoseconds() for page in entries for entry in page]
    return {
        "pages": "several" if len(entries) > 1 else "one",
        "full": all(len(page) == given["page_size"] for page in entries[:-1]),
        "distinct": len(ids) == len(set(ids)),
        "in_order": times == sorted(times),
        "created": "ACTION_SANDBOX_CREATED" in actions,
    }


def pages(context: Context, selected: entry_pb2.EntryFilter, size: int) -> Iterator[list[entry_pb2.Entry]]:
    stub = context.stub(audit_service_pb2_grpc.AuditServiceStub, "audit")
    request = audit_pb.ListEntriesRequest(filter=selected, page_size=size, order=audit_pb.ENTRY_ORDER_OLDEST_FIRST)
    while True:
        answer = stub.ListEntries(request)
        yield list(answer.entries)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def trace(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Runs a program in a trace that begins here; looks for it in the process, the record and the kept spans."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    request = exec_service_pb2.RunCommandRequest(
        sandbox=context.sandbox, command=exec_service_pb2.Command(args=given["args"])
    )
    runner = context.stub(exec_service_pb2_grpc.ExecServiceStub, "sandbox")
    answer = runner.RunCommand(request, metadata=(("traceparent", f"00-{trace_id}-{span_id}-01"),))
    traces = context.stub(trace_service_pb2_grpc.TraceServiceStub, "audit")
    selected = entry_pb2.EntryFilter(trace_id=trace_id)
    recorded = any(found[0] for found in polled(lambda: list(pages(context, selected, 100))))
    for listed in polled(lambda: traces.ListTraces(trace_service_pb2.ListTracesRequest(page_size=1000)).traces):
        if any(summary.trace_id == trace_id for summary in listed):
            break
    kept = polled(lambda: traces.GetTrace(trace_service_pb2.GetTraceRequest(trace_id=trace_id)).spans)
    return {
        "process": answer.stdout.decode().split("-")[1] == trace_id,
        "record": recorded,
        "child": any(span.parent_span_id == span_id for spans in kept for span in spans),
    }
