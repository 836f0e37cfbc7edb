"""Which sandboxes a caller may know of: an agent its own, everybody else all."""

from collections.abc import Mapping
from typing import Any

from stockade_rpckit.identity import Principal, PrincipalKind, current_principal
from stockade_rpckit.recording import Describe

from stockade_sandbox.domain.errors import SandboxNotFound
from stockade_sandbox.domain.sandbox import Sandbox
from stockade_sandbox.sandboxes import Sandboxes


def visible(sandboxes: Sandboxes, name: str) -> Sandbox:
    """The sandbox of that name, if the caller may know of it. Raises SandboxNotFound either way."""
    sandbox = sandboxes.get(name)
    if not caller_may_see(sandbox):
        raise SandboxNotFound(name)
    return sandbox


def may_see(principal: Principal, sandbox: Sandbox) -> bool:
    """Whether `principal` may know of `sandbox`; one that nobody claimed yet is nobody's to see."""
    if not sandbox.agent:
        return False
    return principal.kind is not PrincipalKind.AGENT or principal.name == sandbox.agent


def caller_may_see(sandbox: Sandbox) -> bool:
    """Whether the caller may know of `sandbox`."""
    return may_see(current_principal(), sandbox)


def owner() -> str:
    """The caller as quotas and request ids count it."""
    principal = current_principal()
    return f"{principal.kind}/{principal.name}"


def naming_agents(describe: Mapping[str, Describe], sandboxes: Sandboxes) -> dict[str, Describe]:
    """`describe`, with the agent whose sandbox it is about: its record has all that was done in its sandboxes."""

    def naming(read: Describe) -> Describe:
        def named(request: Any) -> Mapping[str, Any]:
            fields = read(request)
            try:
                sandbox = sandboxes.get(str(fields.get("sandbox", "")))
            except SandboxNotFound:
                return fields
            return {"agent": sandbox.agent, "agent_type": sandbox.agent_type, **fields}

        return named

    return {rpc: naming(read) for rpc, read in describe.items()}
