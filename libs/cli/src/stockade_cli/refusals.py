"""What a sandbox was refused and why, as the audit record has it."""

import asyncio
import time
from dataclasses import dataclass

from stockade.audit.v1 import audit_service_pb2, audit_service_pb2_grpc, entry_pb2
from stockade_agent.client import AsyncStockade, trace_metadata, typed_errors

INDEX_SECONDS = 3.0
"""How long to wait for the record's index, which is at most a second behind."""


@dataclass(frozen=True)
class Refusal:
    """One request that did not pass."""

    domain: str
    action: str
    reason: str
    rule: str
    entry: str

    def __str__(self) -> str:
        by = self.rule or "the gate"
        return f"{self.domain}: {self.action} by {by}: {self.reason} (stockade audit show {self.entry})"


async def refusals(stockade: AsyncStockade, sandbox: str) -> list[Refusal]:
    """The refusals of a sandbox that is gone, oldest first.

    The entry that its doors were closed is the last one about it in the gate's journal: once the index has that, it
    has all. A sandbox without doors has no such entry, and no refusals either. Raises StockadeError.
    """
    deadline = time.monotonic() + INDEX_SECONDS
    while True:
        entries = await _entries(stockade, sandbox)
        opened, closed = (any(e.action == action for e in entries) for action in _DOORS)
        if closed or (not opened and entries_settled(entries)) or time.monotonic() > deadline:
            return [_refusal(entry) for entry in entries if entry.action in _REFUSED]
        await asyncio.sleep(0.1)


_DOORS = (entry_pb2.ACTION_DOOR_OPENED, entry_pb2.ACTION_DOOR_CLOSED)
_REFUSED = (entry_pb2.ACTION_BLOCKED, entry_pb2.ACTION_RATE_LIMITED)


def entries_settled(entries: list[entry_pb2.Entry]) -> bool:
    """Whether the record already knows that the sandbox is gone."""
    return any(entry.action == entry_pb2.ACTION_SANDBOX_DELETED for entry in entries)


async def _entries(stockade: AsyncStockade, sandbox: str) -> list[entry_pb2.Entry]:
    stub = stockade.stub(audit_service_pb2_grpc.AuditServiceStub, "audit")
    request = audit_service_pb2.ListEntriesRequest(
        filter=entry_pb2.EntryFilter(
            sandboxes=[sandbox], actions=[*_DOORS, *_REFUSED, entry_pb2.ACTION_SANDBOX_DELETED]
        ),
        page_size=1000,
        order=audit_service_pb2.ENTRY_ORDER_OLDEST_FIRST,
    )
    with typed_errors():
        answer = await stub.ListEntries(request, metadata=trace_metadata())
    return list(answer.entries)


def _refusal(entry: entry_pb2.Entry) -> Refusal:
    action = entry_pb2.Action.Name(entry.action).removeprefix("ACTION_")
    return Refusal(entry.domain, action, entry.reason, entry.rule, entry.id)
