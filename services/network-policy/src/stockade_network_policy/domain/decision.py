"""The one decision function: every way of asking (gate, RPC, ext_authz, SDK) gives the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from stockade_network_policy.domain.addresses import special_purpose
from stockade_network_policy.domain.hostname import DomainSet, Host, HostInvalid, canonical_host, is_public_name
from stockade_network_policy.domain.policy import Mode, Rules


class Verdict(StrEnum):
    """What a request gets."""

    ALLOW = "ALLOW"
    DENY = "DENY"  # policy says no: asking again changes nothing
    LIMIT = "LIMIT"  # a limit says not now: `retry_after_s` says when


class Origin(StrEnum):
    """By which way a question came."""

    GATE = "GATE"  # an Envoy asks, ours or a mesh's: it holds the request, and tells itself how it ended
    RPC = "RPC"  # whoever asks also says how it ended


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
    origin: Origin = Origin.RPC


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


class Ruling(NamedTuple):
    """What policy says of a request, before limits and without a place in the record."""

    allowed: bool
    rule: str
    reason: str
    host: str = ""
    reported: bool = False


def decide(rules: Rules, request: Request) -> Ruling:
    """What the policy says of a request. The first of these that applies decides:

    1. the asker's protocol refuses it (`malformed`): denied
    2. the host has no canonical form (`host`): denied
    3. the address is private or special (`special_address`): denied, whatever the policy's mode
    4. the sandbox's own narrowing leaves the host out (`sandbox`): denied
    5. the port is not among `allowed_ports`: denied, in mode REPORT reported
    6. a domain of the list holds it (`allowed_domains:<pattern>`): allowed
    7. unknown hosts pass (`block_unknown_domains`) and it is public: allowed
    8. otherwise (`block_unknown_domains`): denied; in mode REPORT a public name passes, reported
    """
    if request.malformed:
        return Ruling(False, "malformed", request.malformed)
    try:
        host = canonical_host(request.host)
    except HostInvalid as error:
        return Ruling(False, "host", str(error))
    if host.address is not None and (special := special_purpose(host.address)):
        return Ruling(False, "special_address", f"{host.name} is a {special} address, which no policy opens", host.name)
    if request.narrowing is not None and DomainSet(request.narrowing).match(host.name) is None:
        return Ruling(False, "sandbox", f"{host.name} is not among the domains this sandbox was given", host.name)
    return _by_policy(rules, host, request.port)


def _by_policy(rules: Rules, host: Host, port: int) -> Ruling:
    policy = rules.policy
    if port not in rules.ports:
        return _refused(rules, host, "allowed_ports", f"port {port} is not open to {policy.agent_type}")
    if host.address is None and (pattern := rules.domains.match(host.name)):
        return Ruling(True, f"allowed_domains:{pattern}", f"{pattern} is allowed to {policy.agent_type}", host.name)
    if not policy.block_unknown_domains and _public(host):
        return Ruling(True, "block_unknown_domains", "the policy lets unknown public hosts pass", host.name)
    return _refused(
        rules, host, "block_unknown_domains", f"{host.name} is not among the domains of {policy.agent_type}"
    )


def _refused(rules: Rules, host: Host, rule: str, reason: str) -> Ruling:
    reported = rules.policy.mode is Mode.REPORT and _public(host)
    return Ruling(reported, rule, f"{reason}; reported, not refused" if reported else reason, host.name, reported)


def _public(host: Host) -> bool:
    return host.address is not None or is_public_name(host.name)


def nearest(rules: Rules, name: str) -> str:
    """The allowed domain nearest to a refused host: the one that shares most labels from the right, two at least."""
    labels = name.split(".")[::-1]
    scored = ((_shared(labels, pattern.split(".")[::-1]), pattern) for pattern in rules.domains.patterns)
    score, pattern = max(scored, default=(0, ""), key=lambda scored: scored[0])
    return pattern if score >= 2 else ""


def _shared(left: list[str], right: list[str]) -> int:
    return next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
