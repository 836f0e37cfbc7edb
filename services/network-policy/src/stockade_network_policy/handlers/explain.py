"""Tells a sandbox why it was refused: one decision by its id, or its latest refusals."""

from typing import Any

from stockade_network_policy.judgement import Judged, Judgement


def explain(judgement: Judgement, sandbox: str, decision_id: str) -> dict[str, Any] | None:
    """One decision of this sandbox, or with an empty id its latest refusals and silent ends, newest first.

    None where the sandbox asked for no such decision: nobody learns of another's.
    """
    if not decision_id:
        return {"refusals": [_told(judged) for judged in judgement.recent(sandbox)]}
    judged = judgement.get(decision_id, sandbox)
    return _told(judged) if judged else None


def _told(judged: Judged) -> dict[str, Any]:
    request, decision = judged.request, judged.decision
    told: dict[str, Any] = {
        "decision": decision.decision_id,
        "time_ns": judged.time_ns,
        "verdict": str(decision.verdict),
        "rule": decision.rule,
        "reason": decision.reason,
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "method": request.method,
        "host": request.host,
        "port": request.port,
    }
    if decision.retry_after_s:
        told["retry_after_s"] = decision.retry_after_s
    if judged.outcome:
        told["outcome"] = {"status": judged.outcome.status, "details": judged.outcome.text}
    return told
