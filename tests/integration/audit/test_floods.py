"""A flood of calls by nobody: few entries that count them all, and everybody else served."""

import time

import grpc
from stockade.audit.v1 import audit_service_pb2 as audit
from stockade.audit.v1 import entry_pb2

from support.auditd import Auditd, eventually
from support.journals import leaves

FLOOD = 2000


def test_calls_without_an_identity_are_counted_and_cost_nobody_else(auditd: Auditd) -> None:
    said = entry_pb2.Entry(action="ACTION_ALLOWED", domain="api.example", resource="x" * 500)
    began = time.monotonic()
    gate, service = auditd.entries("gate"), auditd.entries("services")
    for n in range(FLOOD // 100):
        flood = [gate.AppendEntry.future(audit.AppendEntryRequest(entry=said)) for _ in range(100)]
        service.AppendEntry(audit.AppendEntryRequest(entry=entry_pb2.Entry(id=f"id-{n}", action="ACTION_CALLED")))
        assert {call.exception().code() for call in flood} == {grpc.StatusCode.UNAUTHENTICATED}

    def counted() -> bool:
        return sum(leaf["metadata"]["count"] for leaf in folded()) == FLOOD

    def folded() -> list[dict[str, object]]:
        found = leaves(auditd.journals / "audit-0")
        return [leaf for leaf in found if leaf.get("reason") == "IDENTITY_MISSING"]

    eventually(counted)
    written = leaves(auditd.journals / "audit-0")
    assert len(folded()) <= time.monotonic() - began + 2, "one a second, whoever calls"
    assert {leaf["action"] for leaf in folded()} == {"FOLDED"}
    assert sum(leaf["action"] == "CALLED" for leaf in written) == 20
    assert not [leaf for leaf in written if leaf["action"] == "ALLOWED" or leaf.get("domain")]
