"""Who calls in a mesh: the holder of a certificate, whom TLS proved to us or to the sidecar in front of us.

Five kinds of SPIFFE id are known (`identity.SPIFFE_KINDS`). A node's is the one that may speak for others: the door
that an agent entered by names it in headers, and the registry must have that agent's sandbox placed on this node.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

import grpc

from stockade_rpckit import forwarded, identity
from stockade_rpckit.identity import Principal, Unproven
from stockade_rpckit.placements import Placements, PlacementsUnavailable

_NAMED = (identity.AGENT_HEADER, identity.AGENT_TYPE_HEADER, identity.SANDBOX_HEADER)
_SHOWN = 256  # characters of what a caller said of itself that the record keeps


@dataclass(frozen=True)
class Mesh:
    """What the mesh listeners of a service go by. Without `placements` no node speaks for an agent."""

    trust_domain: str
    placements: Placements | None = None

    def by_certificate(
        self, metadata: Mapping[str, str], context: grpc.aio.ServicerContext
    ) -> Principal | Awaitable[Principal]:
        """See `Authenticate`: the caller's own certificate, which its connection here was made with."""
        uris = [uri.decode(errors="replace") for uri in context.auth_context().get("peer_uri", ())]
        return self._holder(uris, metadata)

    def by_sidecar(self, sidecar_id: str) -> identity.Authenticate:
        """See `Authenticate`: the certificate that our sidecar saw, as `x-forwarded-client-cert` has it."""

        def authenticate(
            metadata: Mapping[str, str], _context: grpc.aio.ServicerContext
        ) -> Principal | Awaitable[Principal]:
            if not (header := metadata.get(forwarded.HEADER)):
                raise Unproven(
                    "IDENTITY_MISSING",
                    f"this listener serves the sidecar only, and the call has no {forwarded.HEADER}; let it append one",
                    metadata={"listener": "sidecar"},
                )
            try:
                element = forwarded.last_element(header)
            except ValueError as error:
                raise _refused(header, f"{forwarded.HEADER}: {error}") from None
            if element.get("by") != [sidecar_id]:
                raise _refused(header, f"{forwarded.HEADER} is not of our sidecar, {sidecar_id}")
            return self._holder(element.get("uri", []), metadata)

        return authenticate

    def _holder(self, uris: Sequence[str], metadata: Mapping[str, str]) -> Principal | Awaitable[Principal]:
        """Whoever holds a certificate with these URIs in it."""
        if len(uris) != 1:
            raise _refused(" ".join(uris), f"the certificate has {len(uris)} URI names, and must have one")
        try:
            kind, holder = identity.of_spiffe_id(uris[0], self.trust_domain)
        except ValueError as error:
            raise _refused(uris[0], f"the certificate's URI names nobody here: {error}") from None
        if kind == identity.NODE:
            return self._spoken_for(holder, metadata)
        return holder

    async def _spoken_for(self, node: Principal, metadata: Mapping[str, str]) -> Principal:
        """The agent that `node` names, where the registry has it there. Raises Unproven."""
        agent = identity.named_agent(metadata)
        if agent is None:
            raise _not_placed(node, metadata, "it names none, by x-stockade-agent, -agent-type and -sandbox")
        if self.placements is None:
            raise _not_placed(node, metadata, "this service knows no registry; set its REGISTRY_URL")
        try:
            placement = await self.placements.find(agent.sandbox)
        except PlacementsUnavailable as error:
            raise Unproven(
                "DEPENDENCY_UNAVAILABLE",
                f"{error}, so that nobody can be spoken for; try again",
                code=grpc.StatusCode.UNAVAILABLE,
                metadata={"dependency": "registry"},
                claimed=_claimed(node, metadata),
            ) from None
        if placement is None:
            raise _not_placed(node, metadata, "there is no such sandbox, or it has ended")
        if (placement.node, placement.agent, placement.agent_type) != (node.name, agent.name, agent.agent_type):
            raise _not_placed(node, metadata, "that sandbox is not this agent's on this node")
        return agent


def _refused(said: str, why: str) -> Unproven:
    return Unproven("IDENTITY_REFUSED", why, metadata={"why": why}, claimed={"resource": said[:_SHOWN]})


def _not_placed(node: Principal, metadata: Mapping[str, str], why: str) -> Unproven:
    return Unproven(
        "NODE_NOT_PLACED",
        f"node {node.name} may not speak for this agent: {why}",
        metadata={"node": node.name, "sandbox": metadata.get(identity.SANDBOX_HEADER, "")[:_SHOWN]},
        claimed=_claimed(node, metadata),
    )


def _claimed(node: Principal, metadata: Mapping[str, str]) -> dict[str, str]:
    """Fields of the record: the node is proved, the agent is what it said."""
    said = dict(
        zip(("agent", "agent_type", "sandbox"), (metadata.get(name, "")[:_SHOWN] for name in _NAMED), strict=True)
    )
    return {"principal_kind": str(node.kind), "principal": node.name, **said}
