"""Whom a call may speak for: an agent for itself alone, services and operators for any agent they name."""

from __future__ import annotations

from dataclasses import dataclass

from stockade_rpckit.identity import Principal, PrincipalKind, current_principal

from stockade_network_policy.handlers.failures import caller_not_allowed, invalid_request


@dataclass(frozen=True, slots=True)
class Subject:
    """The agent that a call is about."""

    agent: str
    agent_type: str
    sandbox: str = ""


def subject(agent: str, agent_type: str, sandbox: str = "") -> Subject:
    """The agent a call names, or the calling agent itself. Raises a Failure for another agent's name."""
    caller = current_principal()
    if caller.kind is not PrincipalKind.AGENT:
        if not agent:
            raise invalid_request("agent", "name the agent")
        return Subject(agent, agent_type or "default", sandbox)
    for named, own, what in (
        (agent, caller.name, "agent"),
        (agent_type.removeprefix("qe-"), caller.agent_type.removeprefix("qe-"), "agent_type"),
        (sandbox, caller.sandbox, "sandbox"),
    ):
        if named and named != own:
            raise caller_not_allowed(f"{what}: agent {caller.name} may ask for itself only, not for {named}")
    return Subject(caller.name, caller.agent_type, caller.sandbox)


def asker() -> Principal | None:
    """Who asks where that is not the agent itself."""
    caller = current_principal()
    return None if caller.kind is PrincipalKind.AGENT else caller


def changed_by() -> str:
    """Who changes a policy, as its version keeps it: "operator:ana"."""
    caller = current_principal()
    return f"{caller.kind}:{caller.name}"
