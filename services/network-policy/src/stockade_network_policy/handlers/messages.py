"""Policies and decisions as messages of the contract, and back."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from stockade.networkpolicy.v1 import decision_service_pb2 as decisions_pb
from stockade.networkpolicy.v1 import policy_pb2 as policies_pb
from stockade.networkpolicy.v1 import policy_service_pb2 as service_pb

from stockade_network_policy.decisions import Judged, Outcome, RefusedHost
from stockade_network_policy.domain.decision import Decision, Request
from stockade_network_policy.domain.difference import Difference, HostSet
from stockade_network_policy.domain.errors import Mistake, PolicyInvalid
from stockade_network_policy.domain.policy import Limits, Mode, Policy, Version
from stockade_network_policy.domain.reading import read_policy

MODES = {
    Mode.ENFORCE: policies_pb.POLICY_MODE_ENFORCE,
    Mode.REPORT: policies_pb.POLICY_MODE_REPORT,
}
_LIMITS = ("requests_per_minute", "requests_per_hour", "burst_size", "max_tunnels", "bytes_per_hour")


def timestamp(time_ns: int) -> Timestamp:
    """A time in nanoseconds since the epoch."""
    message = Timestamp()
    message.FromNanoseconds(time_ns)
    return message


def duration(seconds: float) -> Duration:
    """A span of time."""
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def limits_message(limits: Limits) -> policies_pb.Limits:
    """Limits as the contract has them."""
    message = policies_pb.Limits(**{name: getattr(limits, name) for name in _LIMITS})
    if limits.tunnel_lifetime_s:
        message.tunnel_lifetime.CopyFrom(duration(limits.tunnel_lifetime_s))
    return message


def policy_message(policy: Policy) -> policies_pb.Policy:
    """A stored policy as the contract has it."""
    return policies_pb.Policy(
        agent_type=policy.agent_type,
        allowed_domains=policy.allowed_domains,
        allowed_ports=policy.allowed_ports,
        limits=limits_message(policy.limits),
        audit_logging=policy.audit_logging,
        block_unknown_domains=policy.block_unknown_domains,
        mode=MODES[policy.mode],
        etag=policy.etag,
        version=policy.version,
        update_time=timestamp(policy.update_time_ns),
        changed_by=policy.changed_by,
    )


def version_message(version: Version) -> policies_pb.PolicyVersion:
    """A version as the contract has it."""
    return policies_pb.PolicyVersion(policy=policy_message(version.policy), change=f"POLICY_CHANGE_{version.change}")


def policy_values(message: policies_pb.Policy) -> dict[str, Any]:
    """The plain values of a message, as `read_policy` takes them; what is not set is left to its default."""
    values: dict[str, Any] = {
        "allowed_domains": list(message.allowed_domains),
        "mode": policies_pb.PolicyMode.Name(message.mode).removeprefix("POLICY_MODE_"),
        **limit_values(message.limits),
    }
    if message.mode == policies_pb.POLICY_MODE_UNSPECIFIED:
        values["mode"] = Mode.ENFORCE
    if message.allowed_ports:
        values["allowed_ports"] = list(message.allowed_ports)
    for name in ("audit_logging", "block_unknown_domains"):
        if message.HasField(name):
            values[name] = getattr(message, name)
    return values


def limit_values(message: policies_pb.Limits) -> dict[str, int]:
    """The plain values of limits."""
    return {
        **{name: getattr(message, name) for name in _LIMITS},
        "tunnel_lifetime_s": message.tunnel_lifetime.seconds,
    }


def read_message(message: policies_pb.Policy, agent_type: str) -> Policy:
    """The policy that a message describes. Raises PolicyInvalid with every mistake."""
    policy, mistakes = read_policy(agent_type, policy_values(message))
    if policy is None:
        raise PolicyInvalid(mistakes)
    return policy


def mistake_message(mistake: Mistake) -> policies_pb.Mistake:
    """A mistake as the contract has it."""
    return policies_pb.Mistake(
        field=mistake.field[:512], line=mistake.line, message=mistake.message[:512], mend=mistake.mend[:512]
    )


def difference_message(difference: Difference) -> service_pb.DiffPoliciesResponse:
    """A difference as the contract has it."""
    return service_pb.DiffPoliciesResponse(
        added=map(_host_set, difference.added),
        removed=map(_host_set, difference.removed),
        fields=[
            service_pb.FieldDifference(field=f.field, before=f.before, after=f.after, tightens=f.tightens)
            for f in difference.fields
        ],
    )


def _host_set(hosts: HostSet) -> service_pb.HostSet:
    return service_pb.HostSet(pattern=hosts.pattern, **{"except": hosts.excepted})


def refused_host_message(refused: RefusedHost, left_out: str) -> service_pb.RefusedHost:
    """A refused host as the contract has it."""
    return service_pb.RefusedHost(
        host=refused.host,
        port=refused.port,
        count=refused.count,
        last_time=timestamp(refused.last_ns),
        left_out=left_out[:512],
    )


def decision_message(decision: Decision, time_ns: int) -> decisions_pb.Decision:
    """A decision as the contract has it."""
    message = decisions_pb.Decision(
        decision_id=decision.decision_id,
        verdict=f"VERDICT_{decision.verdict}",
        rule=decision.rule[:512],
        reason=decision.reason[:1024],
        policy=decision.policy,
        policy_version=decision.policy_version,
        canonical_host=decision.canonical_host,
        port=decision.port,
        reported=decision.reported,
        decide_time=timestamp(time_ns),
    )
    if decision.retry_after_s:
        message.retry_after.CopyFrom(duration(decision.retry_after_s))
    return message


def record_message(judged: Judged) -> decisions_pb.DecisionRecord:
    """A decision with its request and outcome as the contract has it."""
    message = decisions_pb.DecisionRecord(
        request=_request_message(judged.request), decision=decision_message(judged.decision, judged.time_ns)
    )
    if judged.outcome is not None:
        message.outcome_unknown = not judged.outcome.known
        if judged.outcome.known:
            message.outcome.CopyFrom(_outcome_message(judged.outcome))
    return message


def _request_message(request: Request) -> decisions_pb.RequestToCheck:
    return decisions_pb.RequestToCheck(
        agent=request.agent,
        agent_type=request.agent_type,
        sandbox=request.sandbox,
        method=request.method,
        scheme=request.scheme,
        host=request.host[:1024],
        port=request.port,
        path=request.path[:2048],
    )


def read_outcome(message: decisions_pb.RequestOutcome) -> Outcome:
    """How a request ended, as its asker tells."""
    return Outcome(
        status=message.status,
        bytes_sent=message.bytes_sent,
        bytes_received=message.bytes_received,
        duration_s=message.duration.ToNanoseconds() / 1e9,
        details={"details": message.details} if message.details else {},
    )


def _outcome_message(outcome: Outcome) -> decisions_pb.RequestOutcome:
    return decisions_pb.RequestOutcome(
        status=outcome.status,
        bytes_sent=outcome.bytes_sent,
        bytes_received=outcome.bytes_received,
        duration=duration(outcome.duration_s),
        details=outcome.text[:512],
    )
