"""The one decision function: every way of asking (gate, RPC, ext_authz, SDK) gives the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a request gets."""

    ALLOW = "ALLOW"
    DENY = "DENY"  # policy says no: asking again changes nothing
    LIMIT = "LIMIT"  # a limit says not now: `retry_after_s` says when


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. `host` is as the asker typed it; only `decide` makes it canonical."""

    agent: str  # authenticated agent id: limits are kept by it
    agent_type: str  # picks the policy; an unknown one gets `default`
    host: str
    port: int
    sandbox: str = ""
    method: str = ""  # CONNECT opens a tunnel and counts as one
    scheme: str = ""
    path: str = ""
    narrowing: tuple[str, ...] | None = None  # canonical patterns of the sandbox; None: not narrowed
    malformed: str = ""  # why the asker's own protocol refuses the request (two Host headers, …): denied, recorded
    lease: str = ""  # `<lease id>.<ticket>` of a request that was decided in-process: debited instead of the bucket
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer, as it stands in the audit record under `decision_id`."""

    decision_id: str
    verdict: Verdict
    rule: str  # what decided, for programs: `allowed_domains:*.npmjs.org`, `block_unknown_domains`, …
    reason: str  # the same for people, with the mend where there is one
    policy: str  # the agent type whose policy applied: `default` for a type without one
    policy_version: int
    retry_after_s: float = 0.0  # of LIMIT alone
    canonical_host: str = ""  # empty where the host has no canonical form
    port: int = 0
    reported: bool = False  # ALLOW only because the policy's mode is REPORT
