"""PolicyService: what asks about policies and changes none of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from stockade.networkpolicy.v1 import policy_service_pb2 as pb
from stockade_rpckit import threads
from stockade_rpckit.identity import current_principal

from stockade_network_policy import policy_file
from stockade_network_policy.catalogue import Catalogue
from stockade_network_policy.decisions import Decisions, RefusedHost
from stockade_network_policy.domain.decision import Request, decide, nearest
from stockade_network_policy.domain.difference import difference
from stockade_network_policy.domain.errors import PolicyInvalid, PolicyNotFound
from stockade_network_policy.domain.hostname import PatternInvalid, canonical_pattern
from stockade_network_policy.domain.policy import Policy, Rules
from stockade_network_policy.handlers import messages
from stockade_network_policy.handlers.policies import Policies, own_type_only
from stockade_network_policy.snapshots import Snapshots


class PolicyHandler(Policies):
    """All of PolicyService: see the contract."""

    def __init__(self, catalogue: Catalogue, decisions: Decisions, snapshots: Snapshots) -> None:
        super().__init__(catalogue)
        self._decisions = decisions
        self._snapshots = snapshots

    async def WatchPolicies(
        self, request: pb.WatchPoliciesRequest, _context: Any
    ) -> AsyncIterator[pb.WatchPoliciesResponse]:
        """See the contract."""
        own_type_only(self._catalogue, request.agent_type)
        async for snapshot in self._snapshots.watch(request.agent_type, current_principal().sandbox):
            yield pb.WatchPoliciesResponse(snapshot=snapshot)

    async def LintPolicies(self, request: pb.LintPoliciesRequest, _context: Any) -> pb.LintPoliciesResponse:
        """See the contract."""
        read = await threads.run(policy_file.parse, request.text)
        return pb.LintPoliciesResponse(
            mistakes=map(messages.mistake_message, read.mistakes), policies=len(read.policies)
        )

    async def TestPolicy(self, request: pb.TestPolicyRequest, _context: Any) -> pb.TestPolicyResponse:
        """See the contract."""
        own_type_only(self._catalogue, request.agent_type)
        rules = self._catalogue.rules(request.agent_type)
        if request.HasField("policy"):
            rules = Rules(await threads.run(messages.read_message, request.policy, request.agent_type))
        ruling = decide(
            rules,
            Request(
                agent="",
                agent_type=request.agent_type,
                host=request.host,
                port=request.port or 443,
                method=request.method or "GET",
            ),
        )
        refused = not ruling.allowed or ruling.reported
        return pb.TestPolicyResponse(
            allowed=ruling.allowed,
            rule=ruling.rule,
            reason=ruling.reason,
            canonical_host=ruling.host,
            nearest_rule=nearest(rules, ruling.host) if refused and ruling.host else "",
            policy=rules.policy.agent_type,
            policy_version=rules.policy.version,
        )

    async def DiffPolicies(self, request: pb.DiffPoliciesRequest, _context: Any) -> pb.DiffPoliciesResponse:
        """See the contract."""
        before, after = await self._operand(request.before), await self._operand(request.after)
        return messages.difference_message(await threads.run(difference, before, after))

    async def ProposePolicy(self, request: pb.ProposePolicyRequest, _context: Any) -> pb.ProposePolicyResponse:
        """See the contract."""
        policy = self._catalogue.rules(request.agent_type).policy
        since_ns = request.since.ToNanoseconds() if request.HasField("since") else 0
        refused = sorted(self._decisions.refused_hosts(policy.agent_type, since_ns), key=lambda host: -host.count)
        left_out = [_left_out(host) for host in refused]
        taken = [host for host, why in zip(refused, left_out, strict=True) if not why]
        proposed = replace(
            policy,
            allowed_domains=tuple(sorted({*policy.allowed_domains, *_names_beyond(policy, taken)})),
            allowed_ports=tuple(sorted({*policy.allowed_ports, *(host.port for host in taken)})),
        )
        return pb.ProposePolicyResponse(
            policy=messages.policy_message(proposed),
            refused=map(messages.refused_host_message, refused, left_out),
        )

    async def _operand(self, operand: pb.PolicyOperand) -> Policy:
        if operand.HasField("policy"):
            return await threads.run(messages.read_message, operand.policy, operand.policy.agent_type)
        if operand.HasField("file"):
            return await self._in_file(operand.file)
        if operand.HasField("version"):
            return await self._stored_version(operand.version.agent_type, operand.version.version)
        return self._catalogue.rules(operand.agent_type).policy

    async def _in_file(self, wanted: pb.PolicyInFile) -> Policy:
        read = await threads.run(policy_file.parse, wanted.text)
        if read.mistakes:
            raise PolicyInvalid(read.mistakes)
        agent_type = self._catalogue.plain_type(wanted.agent_type)
        found = {self._catalogue.plain_type(policy.agent_type): policy for policy in read.policies}
        if agent_type not in found:
            raise PolicyNotFound(agent_type)
        return found[agent_type]

    async def _stored_version(self, name: str, number: int) -> Policy:
        agent_type = self._catalogue.plain_type(name)
        found = await threads.run(self._catalogue.store.versions, agent_type, below=number + 1, limit=1)
        if not found or found[0].policy.version != number:
            raise PolicyNotFound(agent_type, number)
        return found[0].policy


def _left_out(host: RefusedHost) -> str:
    """Why a refused host cannot be proposed."""
    try:
        canonical_pattern(host.host)
    except PatternInvalid as error:
        return str(error)
    return ""


def _names_beyond(policy: Policy, hosts: list[RefusedHost]) -> list[str]:
    """The hosts that the policy does not hold yet: of some, only the port was refused."""
    domains = Rules(policy).domains
    return [host.host for host in hosts if domains.match(host.host) is None]
