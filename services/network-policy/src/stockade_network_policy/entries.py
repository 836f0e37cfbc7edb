"""What decisions and their outcomes are in the audit record."""

from __future__ import annotations

from typing import Any

from stockade_audit import Action, Entry
from stockade_audit.entry import PENDING, MetadataValue
from stockade_rpckit.identity import Principal

from stockade_network_policy.decisions import Judged, Outcome
from stockade_network_policy.domain.decision import Request, Verdict
from stockade_network_policy.domain.policy import Policy

ACTIONS = {Verdict.ALLOW: Action.ALLOWED, Verdict.DENY: Action.BLOCKED, Verdict.LIMIT: Action.RATE_LIMITED}


def decided(judged: Judged, policy: Policy, asker: Principal | None, *, pending: bool) -> Entry:
    """A decision. `asker` is who asked where that is not the agent; `pending`: an outcome is to close it."""
    request, decision = judged.request, judged.decision
    trace_id, span_id = _trace(request)
    optional: dict[str, Any] = {}
    if policy.audit_logging:
        optional = {"method": request.method, "path": request.path.partition("?")[0], "metadata": _metadata(judged)}
    return Entry(
        id=decision.decision_id,
        time_ns=judged.time_ns,
        action=ACTIONS[decision.verdict],
        principal_kind=str(asker.kind) if asker else "agent",
        principal=asker.name if asker else request.agent,
        agent=request.agent,
        agent_type=request.agent_type,
        sandbox=request.sandbox,
        domain=decision.canonical_host or request.host[:255],
        reason=decision.reason,
        rule=decision.rule,
        policy_version=decision.policy_version,
        status=PENDING if pending else "",
        trace_id=trace_id,
        span_id=span_id,
        **optional,
    )


def _trace(request: Request) -> tuple[str, str]:
    """Trace and span id of a traceparent (W3C Trace Context §3.2); empty where there is none."""
    if not request.traceparent:
        return "", ""
    _, trace_id, span_id, *_ = f"{request.traceparent}---".split("-")
    return trace_id, span_id


def _metadata(judged: Judged) -> dict[str, MetadataValue]:
    request, decision = judged.request, judged.decision
    metadata: dict[str, MetadataValue] = {"port": request.port, "policy": decision.policy}
    if request.host != decision.canonical_host:
        metadata["host"] = request.host[:255]
    if request.lease:
        metadata["lease"] = request.lease[:128]
    if decision.reported:
        metadata["reported"] = True
    if decision.retry_after_s:
        metadata["retry_after_s"] = decision.retry_after_s
    return metadata


def ended(judged: Judged, outcome: Outcome) -> Entry:
    """What came of an allowed request; closes its decision."""
    request = judged.request
    trace_id, span_id = _trace(request)
    fields = outcome_fields(outcome)
    if outcome.refused:
        fields |= _refused_by(outcome.refused)
    return Entry(
        action=_ended_as(outcome),
        intent_id=judged.decision.decision_id,
        principal_kind="agent",
        principal=request.agent,
        agent=request.agent,
        agent_type=request.agent_type,
        sandbox=request.sandbox,
        domain=judged.decision.canonical_host,
        trace_id=trace_id,
        span_id=span_id,
        metadata=dict(outcome.details),
        **fields,
    )


def _ended_as(outcome: Outcome) -> Action:
    if not outcome.known:
        return Action.OUTCOME_UNKNOWN
    return Action.BLOCKED if outcome.refused else Action.OUTCOME


def _refused_by(refused: str) -> dict[str, str]:
    """Rule and reason of what the gate refused after the verdict, told as "RULE: reason"."""
    rule, _, reason = refused.partition(": ")
    return {"rule": rule.lower(), "reason": reason}


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """What an outcome says in the record."""
    return {
        "reason": "" if outcome.known else "NOT_REPORTED",
        "status": outcome.status,
        "bytes_sent": outcome.bytes_sent,
        "bytes_received": outcome.bytes_received,
        "duration_us": round(outcome.duration_s * 1e6),
    }
