"""`envoy.service.ratelimit.v3.RateLimitService`: the agents' limits for a mesh that has policies of its own.

A descriptor names its agent by the entry `agent`, and its type by `agent_type`. ext_authz counts by itself: a route
that asks both counts twice.
"""

from typing import Any

import grpc
from envoy.service.ratelimit.v3 import rls_pb2 as pb
from envoy.service.ratelimit.v3 import rls_pb2_grpc
from stockade_audit import RecordUnavailable

from stockade_network_policy.domain.decision import Decision, Request, Verdict
from stockade_network_policy.handlers.messages import duration
from stockade_network_policy.judgement import Judgement

_OK, _OVER = pb.RateLimitResponse.OK, pb.RateLimitResponse.OVER_LIMIT


class RateLimit(rls_pb2_grpc.RateLimitServiceServicer):
    """Counts what Envoy's rate limit filters ask for."""

    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement

    async def ShouldRateLimit(self, request: pb.RateLimitRequest, context: Any) -> pb.RateLimitResponse:
        """Part of Envoy's RateLimitService: over the limit where any descriptor is.

        A descriptor without an agent fails the call: let `failure_mode_deny` be true, so that it refuses the request.
        """
        statuses = []
        for descriptor in request.descriptors:
            entries = {entry.key: entry.value for entry in descriptor.entries}
            if not entries.get("agent"):
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a descriptor has no entry `agent`")
            asked = Request(
                agent=entries["agent"], agent_type=entries.get("agent_type", ""), host=request.domain, port=0
            )
            hits = descriptor.hits_addend.value or request.hits_addend or 1
            try:
                statuses.append(_status(await self._judgement.count(asked, hits)))
            except RecordUnavailable as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        over = any(status.code == _OVER for status in statuses)
        return pb.RateLimitResponse(overall_code=_OVER if over else _OK, statuses=statuses)


def _status(decision: Decision) -> pb.RateLimitResponse.DescriptorStatus:
    if decision.verdict is Verdict.ALLOW:
        return pb.RateLimitResponse.DescriptorStatus(code=_OK)
    return pb.RateLimitResponse.DescriptorStatus(code=_OVER, duration_until_reset=duration(decision.retry_after_s))
