"""Who calls: proved by the listener a call arrived on, never by what the caller says of itself.

gRPC in Python shows no peer credentials on a Unix socket, so there is one directory per kind of principal, and the
directory's mode is the proof. Envoy's listeners are the exception: one socket serves every agent, and the door that
the agent entered by wrote the agent's name into headers that no client can set (the door overwrites them).
"""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

import grpc
from stockade.options.v1 import options_pb2

from stockade_rpckit.errors import Failure


class PrincipalKind(StrEnum):
    """The kinds of principal, by the names that the contract's `callers` option uses."""

    OPERATOR = "operator"
    AUDITOR = "auditor"
    AGENT = "agent"
    SERVICE = "service"

    @property
    def caller(self) -> int:
        """This kind as a value of `stockade.options.v1.Caller`."""
        return int(options_pb2.Caller.Value(f"CALLER_{self.name}"))


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. An agent's `name` is its id, and `sandbox` is the one it speaks from."""

    kind: PrincipalKind
    name: str
    agent_type: str = ""
    sandbox: str = ""


Authenticate = Callable[[Mapping[str, str]], Principal]
"""From a call's metadata to its principal; raises `Failure` (UNAUTHENTICATED) when there is none."""

SANDBOX_HEADER = "x-stockade-sandbox"
AGENT_HEADER = "x-stockade-agent"
AGENT_TYPE_HEADER = "x-stockade-agent-type"

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_current: ContextVar[Principal] = ContextVar("stockade_principal")


def always(principal: Principal) -> Authenticate:
    """The listener's directory says who calls."""
    return lambda _metadata: principal


def from_gate(metadata: Mapping[str, str]) -> Principal:
    """The agent that the gate's door named; nothing else can come of this listener."""
    names = [metadata.get(header, "") for header in (AGENT_HEADER, AGENT_TYPE_HEADER, SANDBOX_HEADER)]
    if not all(_NAME.fullmatch(name) for name in names):
        raise Failure(
            grpc.StatusCode.UNAUTHENTICATED,
            "IDENTITY_MISSING",
            "this listener serves agents behind the gate only, and the call names no agent",
            metadata={"listener": "gate"},
        )
    agent, agent_type, sandbox = names
    return Principal(PrincipalKind.AGENT, agent, agent_type, sandbox)


def current_principal() -> Principal:
    """The principal of the call being served. Raises LookupError outside one."""
    return _current.get()


def enter(principal: Principal) -> None:
    """Make `principal` the current one for the rest of this call's task."""
    _current.set(principal)
