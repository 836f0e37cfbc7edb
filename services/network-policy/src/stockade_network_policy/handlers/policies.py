"""PolicyService: reading and changing policies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from stockade.networkpolicy.v1 import policy_pb2 as policies_pb
from stockade.networkpolicy.v1 import policy_service_pb2 as pb
from stockade.networkpolicy.v1 import policy_service_pb2_grpc
from stockade_audit import Action
from stockade_rpckit import threads
from stockade_rpckit.identity import PrincipalKind, current_principal
from stockade_rpckit.recording import Describe, current_record

from stockade_network_policy import policy_file
from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.domain.errors import (
    EtagMismatch,
    PolicyExists,
    PolicyInvalid,
    PolicyNotFound,
    RequestIdReused,
)
from stockade_network_policy.domain.hostname import canonical_pattern
from stockade_network_policy.domain.policy import Change, Policy
from stockade_network_policy.domain.ports import Write
from stockade_network_policy.domain.reading import read_policy
from stockade_network_policy.handlers import messages
from stockade_network_policy.handlers.callers import changed_by
from stockade_network_policy.handlers.failures import caller_not_allowed, invalid_request
from stockade_network_policy.handlers.paging import last_shown, page_token

_DOMAINS_NAMED = 20  # in an entry of the record
_TRIES = 10  # of an edit that other replicas overtake
_WHOLE = ("allowed_domains", "allowed_ports", "audit_logging", "block_unknown_domains", "mode")


class Policies(policy_service_pb2_grpc.PolicyServiceServicer):
    """See the contract. What asks about policies without changing them is in `handlers.questions`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._editing = asyncio.Lock()

    async def CreatePolicy(self, request: pb.CreatePolicyRequest, _context: Any) -> pb.CreatePolicyResponse:
        """See the contract."""
        agent_type = self._catalogue.plain_type(request.policy.agent_type)
        policy = await threads.run(messages.read_message, request.policy, agent_type)
        stored = await self._made_before(request.request_id, policy)
        if stored is None:
            stored = await self._create(policy, request.request_id)
        return pb.CreatePolicyResponse(policy=messages.policy_message(stored))

    async def GetPolicy(self, request: pb.GetPolicyRequest, _context: Any) -> pb.GetPolicyResponse:
        """See the contract."""
        own_type_only(self._catalogue, request.agent_type)
        policy = (
            self._catalogue.own(request.agent_type)
            if request.exact
            else self._catalogue.rules(request.agent_type).policy
        )
        return pb.GetPolicyResponse(policy=messages.policy_message(policy))

    async def ListPolicies(self, request: pb.ListPoliciesRequest, _context: Any) -> pb.ListPoliciesResponse:
        """See the contract."""
        last = last_shown(request.page_token, "policies")
        left = [policy for policy in self._catalogue.policies() if policy.agent_type > last]
        page = left[: request.page_size or 100]
        return pb.ListPoliciesResponse(
            policies=map(messages.policy_message, page),
            next_page_token=page_token("policies", page[-1].agent_type) if len(left) > len(page) else "",
        )

    async def UpdatePolicy(self, request: pb.UpdatePolicyRequest, _context: Any) -> pb.UpdatePolicyResponse:
        """See the contract."""
        paths = list(request.update_mask.paths)
        stored = await self._edited(
            request.policy.agent_type,
            request.policy.etag,
            lambda current: _masked(current, request.policy, paths),
        )
        return pb.UpdatePolicyResponse(policy=messages.policy_message(stored))

    async def DeletePolicy(self, request: pb.DeletePolicyRequest, _context: Any) -> pb.DeletePolicyResponse:
        """See the contract."""
        async with self._edit(request.agent_type, request.etag) as current:
            await self._write(Write(policy=current, change=Change.DELETED, etag=current.etag))
        return pb.DeletePolicyResponse()

    async def AddDomains(self, request: pb.AddDomainsRequest, _context: Any) -> pb.AddDomainsResponse:
        """See the contract."""
        stored = await self._edited(
            request.agent_type,
            request.etag,
            lambda current: _with_domains(current, [*current.allowed_domains, *request.domains]),
        )
        return pb.AddDomainsResponse(policy=messages.policy_message(stored))

    async def RemoveDomains(self, request: pb.RemoveDomainsRequest, _context: Any) -> pb.RemoveDomainsResponse:
        """See the contract."""
        gone = _canonical(request.domains)
        stored = await self._edited(
            request.agent_type,
            request.etag,
            lambda current: _with_domains(current, [name for name in current.allowed_domains if name not in gone]),
        )
        return pb.RemoveDomainsResponse(policy=messages.policy_message(stored))

    async def ListDomains(self, request: pb.ListDomainsRequest, _context: Any) -> pb.ListDomainsResponse:
        """See the contract."""
        own_type_only(self._catalogue, request.agent_type)
        policy = self._catalogue.own(request.agent_type)
        list_name = f"domains/{policy.agent_type}"
        last = last_shown(request.page_token, list_name)
        left = [domain for domain in policy.allowed_domains if domain > last]
        page = left[: request.page_size or 1000]
        return pb.ListDomainsResponse(
            domains=page, next_page_token=page_token(list_name, page[-1]) if len(left) > len(page) else ""
        )

    async def ListPolicyVersions(
        self, request: pb.ListPolicyVersionsRequest, _context: Any
    ) -> pb.ListPolicyVersionsResponse:
        """See the contract."""
        agent_type = self._catalogue.plain_type(request.agent_type)
        list_name = f"versions/{agent_type}"
        last = last_shown(request.page_token, list_name)
        below, limit = int(last) if last else 1 << 62, request.page_size or 20
        found = await threads.run(self._catalogue.store.versions, agent_type, below=below, limit=limit + 1)
        if not found and not last:
            raise PolicyNotFound(agent_type)
        page = found[:limit]
        return pb.ListPolicyVersionsResponse(
            versions=map(messages.version_message, page),
            next_page_token=page_token(list_name, str(page[-1].policy.version)) if len(found) > limit else "",
        )

    async def ApplyPolicies(self, request: pb.ApplyPoliciesRequest, _context: Any) -> pb.ApplyPoliciesResponse:
        """See the contract."""
        read = await threads.run(policy_file.parse, request.text)
        if read.mistakes:
            raise PolicyInvalid(read.mistakes)
        await self._catalogue.refresh()
        current = {policy.agent_type: policy for policy in self._catalogue.policies()}
        policies = [replace(p, agent_type=self._catalogue.plain_type(p.agent_type)) for p in read.policies]
        created = [p for p in policies if p.agent_type not in current]
        updated = [p for p in policies if p.agent_type in current and not p.says(current[p.agent_type])]
        writes = [Write(policy=p, change=Change.CREATED) for p in created]
        writes += [Write(policy=p, change=Change.UPDATED, etag=current[p.agent_type].etag) for p in updated]
        await self._catalogue.write(writes, by=changed_by())
        current_record().set(action=Action.POLICY_CHANGED, metadata={"created": len(created), "updated": len(updated)})
        changed = {p.agent_type for p in (*created, *updated)}
        return pb.ApplyPoliciesResponse(
            created=[p.agent_type for p in created],
            updated=[p.agent_type for p in updated],
            unchanged=[p.agent_type for p in policies if p.agent_type not in changed],
        )

    async def _create(self, policy: Policy, request_id: str) -> Policy:
        """What is made; where another replica was asked the same at the same time, what that one made."""
        try:
            return await self._write(Write(policy=policy, change=Change.CREATED, request_id=request_id))
        except PolicyExists:
            stored = await self._made_before(request_id, policy)
            if stored is None:
                raise
            return stored

    async def _made_before(self, request_id: str, policy: Policy) -> Policy | None:
        """What the same request made; raises RequestIdReused where it was another."""
        if not request_id:
            return None
        version = await threads.run(self._catalogue.store.find_request, request_id)
        if version is not None and not version.policy.says(policy):
            raise RequestIdReused(request_id)
        return version.policy if version else None

    async def _edited(self, agent_type: str, etag: str, values: Callable[[Policy], dict[str, Any]]) -> Policy:
        """The policy with its new values. An edit of no etag, overtaken by another replica's, is made upon that one."""
        tries = 1 if etag else _TRIES
        while True:
            async with self._edit(agent_type, etag) as current:
                try:
                    return await self._update(current, values(current))
                except EtagMismatch:
                    tries -= 1
                    if not tries:
                        raise

    @asynccontextmanager
    async def _edit(self, agent_type: str, etag: str) -> AsyncIterator[Policy]:
        """The policy as it is now, of the given etag if any: one edit at a time here, none lost to another process."""
        async with self._editing:
            await self._catalogue.refresh()
            current = self._catalogue.own(agent_type)
            if etag not in ("", current.etag):
                raise EtagMismatch(current.agent_type, current.etag)
            yield current

    async def _update(self, current: Policy, values: dict[str, Any]) -> Policy:
        policy, mistakes = await threads.run(read_policy, current.agent_type, values)
        if policy is None:
            raise PolicyInvalid(mistakes)
        if policy.says(current):
            return current  # a version tells of a change
        return await self._write(Write(policy=policy, change=Change.UPDATED, etag=current.etag))

    async def _write(self, write: Write) -> Policy:
        (stored,) = await self._catalogue.write([write], by=changed_by())
        current_record().set(
            action=Action.POLICY_CHANGED,
            resource=f"policies/{stored.agent_type}",
            policy_version=stored.version,
            metadata={"change": str(write.change), "domains": len(stored.allowed_domains)},
        )
        return stored


def _about(agent_type: str, **metadata: str) -> dict[str, Any]:
    return {"resource": f"policies/{agent_type}", "metadata": metadata}


def _named(domains: Sequence[str]) -> str:
    more = f", and {len(domains) - _DOMAINS_NAMED} more" if len(domains) > _DOMAINS_NAMED else ""
    return ", ".join(domains[:_DOMAINS_NAMED]) + more


DESCRIBE: dict[str, Describe] = {
    "CreatePolicy": lambda request: _about(request.policy.agent_type),
    "UpdatePolicy": lambda request: _about(request.policy.agent_type, update_mask=_named(request.update_mask.paths)),
    "DeletePolicy": lambda request: _about(request.agent_type),
    "AddDomains": lambda request: _about(request.agent_type, added=_named(request.domains)),
    "RemoveDomains": lambda request: _about(request.agent_type, removed=_named(request.domains)),
}
"""What an intent says of the change, before it is made."""


def own_type_only(catalogue: Catalogue, agent_type: str) -> None:
    """Holds an agent to its own type's policy. Raises a Failure."""
    caller = current_principal()
    own = catalogue.plain_type(caller.agent_type)
    if caller.kind is PrincipalKind.AGENT and catalogue.plain_type(agent_type) != own:
        raise caller_not_allowed(f"agent {caller.name} may read the policy of its own type {own} only")


def _values(policy: Policy) -> dict[str, Any]:
    return messages.policy_values(messages.policy_message(policy))


def _with_domains(policy: Policy, domains: list[str]) -> dict[str, Any]:
    return {**_values(policy), "allowed_domains": domains}


def _masked(current: Policy, wanted: policies_pb.Policy, paths: list[str]) -> dict[str, Any]:
    """The current values with those of the mask taken from the message; an empty mask takes all."""
    new, values = messages.policy_values(wanted), _values(current)
    if not paths:
        return new
    for path in paths:
        names = _names(path)
        if not names:
            raise invalid_request(
                "update_mask", f"there is no {path}; name allowed_domains, limits.burst_size, mode, …"
            )
        for name in names:
            values.pop(name, None)
            if name in new:
                values[name] = new[name]
    return values


def _names(path: str) -> list[str]:
    """The values that a path of the mask stands for."""
    limits = list(messages.limit_values(policies_pb.Limits()))
    if path == "limits":
        return limits
    name = path.removeprefix("limits.")
    name = "tunnel_lifetime_s" if name == "tunnel_lifetime" else name
    return [name] if path in _WHOLE or (path.startswith("limits.") and name in limits) else []


def _canonical(domains: Iterable[str]) -> set[str]:
    """Patterns in canonical form, and as written where they have none: so that anything stored can be removed."""
    found = set(domains)
    for domain in domains:
        try:
            found.add(canonical_pattern(domain))
        except ValueError:
            continue
    return found
