"""Who calls: proved by the listener a call arrived on, never by what the caller says of itself.

gRPC in Python shows no peer credentials on a Unix socket, so there is one directory per kind of principal, and the
directory's mode is the proof. Envoy's listeners are the exception: one socket serves every agent, and the door that
the agent entered by wrote the agent's name into headers that no client can set (the door overwrites them).

In a mesh a certificate says it, by the SPIFFE id in it (https://spiffe.io, SPIFFE-ID §2): `mesh.py` reads it, and the
one table of what such an id makes of its holder is here.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
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


Authenticate = Callable[[Mapping[str, str], grpc.aio.ServicerContext], Principal | Awaitable[Principal]]
"""From a call's metadata and context to its principal; raises `Unproven` when there is none.

A Unix socket's knows at once; only what has to ask the registry is awaited.
"""

SANDBOX_HEADER = "x-stockade-sandbox"
AGENT_HEADER = "x-stockade-agent"
AGENT_TYPE_HEADER = "x-stockade-agent-type"

NODE = "node"
"""The SPIFFE kind that speaks for the agents that are placed on it, and never for itself."""

SPIFFE_KINDS: Mapping[str, PrincipalKind] = {
    "operator": PrincipalKind.OPERATOR,  # spiffe://<trust domain>/operator/<person>
    "auditor": PrincipalKind.AUDITOR,  # /auditor/<person>
    "service": PrincipalKind.SERVICE,  # /service/<name>
    "agent": PrincipalKind.AGENT,  # /agent/<type>/<agent>
    NODE: PrincipalKind.SERVICE,  # /node/<node>: so the record has one that was refused
}
"""What the holder of a SPIFFE id is, by the first word of its path."""


def rights(spiffe_kind: str) -> frozenset[int]:
    """As which of the contract's callers the holder of such an id may call: a node as its agents only."""
    return frozenset({(PrincipalKind.AGENT if spiffe_kind == NODE else SPIFFE_KINDS[spiffe_kind]).caller})


_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_current: ContextVar[Principal] = ContextVar("stockade_principal")


class Unproven(Failure):
    """A call that did not prove who it comes from. `claimed` are fields of the record: who it said it was."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNAUTHENTICATED,
        metadata: Mapping[str, str] | None = None,
        claimed: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, reason, message, metadata=metadata)
        self.claimed = dict(claimed or {})


def always(principal: Principal) -> Authenticate:
    """The listener's directory says who calls."""
    return lambda _metadata, _context: principal


def from_gate(metadata: Mapping[str, str], _context: grpc.aio.ServicerContext) -> Principal:
    """The agent that the gate's door named; nothing else can come of this listener."""
    agent = named_agent(metadata)
    if agent is None:
        raise Unproven(
            "IDENTITY_MISSING",
            "this listener serves agents behind the gate only, and the call names no agent",
            metadata={"listener": "gate"},
        )
    return agent


def named_agent(metadata: Mapping[str, str]) -> Principal | None:
    """The agent that a door's headers name; None unless all three are there and are names."""
    names = [metadata.get(header, "") for header in (AGENT_HEADER, AGENT_TYPE_HEADER, SANDBOX_HEADER)]
    if not all(_NAME.fullmatch(name) for name in names):
        return None
    agent, agent_type, sandbox = names
    return Principal(PrincipalKind.AGENT, agent, agent_type, sandbox)


def of_spiffe_id(uri: str, trust_domain: str) -> tuple[str, Principal]:
    """(first word of the path, principal) of the holder of a SPIFFE id. Raises ValueError for one that names nobody."""
    domain, _, path = uri.removeprefix("spiffe://").partition("/")
    if not uri.startswith("spiffe://") or domain != trust_domain:
        raise ValueError(f"it is not of the trust domain {trust_domain}")
    kind, *names = path.split("/")
    wanted = 2 if kind == "agent" else 1
    if kind not in SPIFFE_KINDS or len(names) != wanted or not all(map(_NAME.fullmatch, names)):
        raise ValueError(f"its path is none of {', '.join(f'/{kind}/…' for kind in SPIFFE_KINDS)}")
    *agent_type, name = names
    return kind, Principal(SPIFFE_KINDS[kind], name, *agent_type)


def current_principal() -> Principal:
    """The principal of the call being served. Raises LookupError outside one."""
    return _current.get()


def enter(principal: Principal) -> None:
    """Make `principal` the current one for the rest of this call's task."""
    _current.set(principal)
