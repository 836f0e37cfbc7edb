"""A refusal as the gate tells it, read into a `NetworkPolicyError`.

A plain request gets JSON with 403, 429 or 502. Clients hide the body of a refused CONNECT, and a tunnel can end without
a word; what became of those, the gate tells at `EXPLAIN_URL` (docs/gate.md, "Refusals, as a client sees them").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.request import getproxies

from stockade_agent.errors import NetworkPolicyError

EXPLAIN_URL = "http://policy.stockade.internal/explain"
REFUSED = frozenset({403, 429, 502})
_VERDICTS = {"DENY": "BLOCKED", "LIMIT": "RATE_LIMITED"}
_PORTS = {"http": 80, "https": 443}


def proxy_of(scheme: str = "http") -> str | None:
    """The proxy that the environment names; in a sandbox, the gate."""
    return getproxies().get(scheme)


def of_response(status: int, headers: Mapping[str, str], body: bytes) -> NetworkPolicyError | None:
    """The refusal in an answer; None for an origin's own 403, 429 or 502."""
    told = _document(body) if status in REFUSED else {}
    if not str(told.get("explain", "")).startswith(EXPLAIN_URL):
        return None
    retry = told.get("retry_after_s") or headers.get("retry-after")
    return NetworkPolicyError(
        "RATE_LIMITED" if status == 429 else "BLOCKED",
        rule=str(told.get("rule") or headers.get("x-stockade-rule") or told["reason"]),
        reason=str(told["reason"]),
        decision_id=str(told.get("decision") or headers.get("x-stockade-decision") or ""),
        retry_after_s=float(retry) if retry else None,
    )


def of_explanation(body: bytes, scheme: str, host: str, port: int | None, since_ns: int) -> NetworkPolicyError | None:
    """The latest refusal of `host` that was decided at `since_ns` or later; None where the gate knows of none."""
    for told in _document(body).get("refusals", ()):
        asked_for = told["host"].lower().rstrip(".") == host.lower().rstrip(".") and told["port"] == (
            port or _PORTS[scheme]
        )
        if asked_for and told["time_ns"] >= since_ns:
            return _explained(told)
    return None


def _explained(told: Mapping[str, Any]) -> NetworkPolicyError:
    """What was allowed and ended all the same, ended for what its outcome says."""
    reason, rule = told["reason"], told["rule"]
    if told["verdict"] not in _VERDICTS:
        reason = told.get("outcome", {}).get("details", reason)
        rule = reason.removeprefix("refused=").partition(":")[0]
    return NetworkPolicyError(
        _VERDICTS.get(told["verdict"], "BLOCKED"),
        rule=rule,
        reason=reason,
        decision_id=told["decision"],
        retry_after_s=told.get("retry_after_s"),
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
