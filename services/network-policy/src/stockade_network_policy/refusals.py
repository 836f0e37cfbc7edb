"""A refusal as HTTP tells it, whoever asked: the gate's judge, or a mesh's own Envoy."""

from __future__ import annotations

import math

import orjson

from stockade_network_policy.domain.decision import Decision, Verdict

EXPLAIN_HOST = "policy.stockade.internal"
"""The name under which the gate itself answers: the sandbox's latest refusals, or one by its id."""

_STATUS = {Verdict.DENY: (403, "BLOCKED"), Verdict.LIMIT: (429, "RATE_LIMITED")}


def status(decision: Decision) -> int:
    """403 for policy, 429 for a limit."""
    return _STATUS[decision.verdict][0]


def body(decision: Decision) -> bytes:
    """JSON that says what decided, and where to read more from inside a sandbox."""
    told: dict[str, object] = {
        "verdict": _STATUS[decision.verdict][1],
        "rule": decision.rule,
        "reason": decision.reason,
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "decision": decision.decision_id,
        "explain": f"http://{EXPLAIN_HOST}/explain?id={decision.decision_id}",
    }
    if decision.verdict is Verdict.LIMIT:
        told["retry_after_s"] = decision.retry_after_s
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def headers(decision: Decision) -> dict[str, str]:
    """The same for programs that see no body; values are printable whatever a client made of its host."""
    told = {
        "content-type": "application/json",
        "x-stockade-decision": decision.decision_id,
        "x-stockade-rule": "".join(c if " " <= c <= "~" else "?" for c in decision.rule),
    }
    if decision.verdict is Verdict.LIMIT:
        told["retry-after"] = str(max(1, math.ceil(decision.retry_after_s)))
    return told
