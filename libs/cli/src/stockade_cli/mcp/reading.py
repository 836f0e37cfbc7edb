"""What a client may read about its sandboxes: the policy, the audit record, a trace."""

from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from stockade.audit.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    entry_pb2,
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from stockade.networkpolicy.v1 import policy_service_pb2, policy_service_pb2_grpc
from stockade_agent.client import AsyncStockade, typed_errors
from stockade_agent.errors import NotFound
from stockade_agent.sandbox import AsyncSandbox

from stockade_cli.audit_filter import printable
from stockade_cli.policy_text import file_text
from stockade_cli.trace import tree

ENTRIES = 200
"""A log tells the latest so many entries."""


async def policy_text(stockade: AsyncStockade, sandbox: AsyncSandbox) -> str:
    """The policy that holds in a sandbox, and how the sandbox narrows it. Raises StockadeError."""
    assert sandbox.info is not None, "it was created"
    service = stockade.stub(policy_service_pb2_grpc.PolicyServiceStub, "policy")
    with typed_errors():
        answer = await service.GetPolicy(policy_service_pb2.GetPolicyRequest(agent_type=sandbox.info.agent_type))
    narrowed = ", ".join(sandbox.info.allowed_domains)
    return file_text(answer.policy) + (f"\nOf these, this sandbox may reach only: {narrowed}" if narrowed else "")


async def record_text(stockade: AsyncStockade, sandbox: str) -> str:
    """The audit entries about a sandbox, a line for each, the oldest first. Raises StockadeError."""
    service = stockade.stub(audit_service_pb2_grpc.AuditServiceStub, "audit")
    request = audit_service_pb2.ListEntriesRequest(filter=entry_pb2.EntryFilter(sandboxes=[sandbox]), page_size=ENTRIES)
    with typed_errors():
        answer = await service.ListEntries(request)
    return "\n".join(map(_line, reversed(answer.entries))) or "the record has nothing about it yet"


async def trace_text(stockade: AsyncStockade, sandbox: str, trace_id: str) -> str:
    """A trace as a tree. Raises StockadeError, ResourceNotFoundError for one that is not about `sandbox`."""
    service = stockade.stub(trace_service_pb2_grpc.TraceServiceStub, "audit")
    try:
        with typed_errors():
            answer = await service.GetTrace(trace_service_pb2.GetTraceRequest(trace_id=trace_id))
    except NotFound as error:
        raise ResourceNotFoundError(error.message) from error
    if not any(span.attributes.get("stockade.sandbox") == sandbox for span in answer.spans):
        raise ResourceNotFoundError(f"no trace of {sandbox} has the id {trace_id}")
    return "\n".join(tree(answer.spans))


def _line(entry: entry_pb2.Entry) -> str:
    action = entry_pb2.Action.Name(entry.action).removeprefix("ACTION_")
    about = " ".join(printable(part) for part in (entry.domain or entry.resource, entry.reason) if part)
    return f"{entry.time.ToDatetime():%H:%M:%S} {action} {about}"
