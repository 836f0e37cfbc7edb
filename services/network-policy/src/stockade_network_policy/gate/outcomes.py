"""Joins Envoy's access log to decisions: how each allowed request ended, and what Envoy refused by itself.

A request ends in the log of requests. A tunnel is told by its inside, in the log of tunnels; its CONNECT, answered 200
before the inside was looked at, says nothing. The log is lossy by contract: a decision whose outcome never comes is
closed as unknown by the judgement.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from stockade_audit import Action, RecordUnavailable
from stockade_rpckit.folds import Folds
from stockade_rpckit.logs import get_logger

from stockade_network_policy.gate.door import Door
from stockade_network_policy.judgement import Ended, Judgement, Outcome

log = get_logger(__name__)

RequestEntry: TypeAlias = Any  # accesslog_pb2.HTTPAccessLogEntry
TunnelEntry: TypeAlias = Any  # accesslog_pb2.TCPAccessLogEntry

NOT_TLS = "NOT_TLS: inside a tunnel only TLS passes"
WRONG_NAME = "SERVER_NAME: the TLS server name (SNI) is not the host of the CONNECT, or missing"
ADDRESS_REFUSED = "ADDRESS_REFUSED: the name leads to an address that no policy opens"
NAME_UNUSABLE = "NAME_UNUSABLE: the name does not resolve, or only to addresses that no policy opens"
UNREACHABLE = "UNREACHABLE: the upstream did not answer"

_INSIDE_S = 1.0
"""How long after a tunnel's end its inside may still tell of it: the two logs are not in order."""

_JUDGED = "lua_response"
"""How Envoy names the judge's own refusals, which were recorded when they were decided.

Without a decision's id: that the judge did not answer in time. It may have decided all the same, and recorded that.
"""


class Outcomes(als_pb2_grpc.AccessLogServiceServicer):
    """Takes Envoy's log; `cut` ends the tunnels of an agent that has used up its bytes."""

    def __init__(
        self,
        judgement: Judgement,
        folds: Folds,
        door_of: Callable[[str], Door | None],
        cut: Callable[[str], Awaitable[None]],
    ) -> None:
        self._judgement = judgement
        self._folds = folds
        self._door_of = door_of
        self._cut = cut
        self._closing: set[asyncio.Task[None]] = set()

    async def StreamAccessLogs(self, requests: AsyncIterator[Any], context: Any) -> als_pb2.StreamAccessLogsResponse:
        """Part of Envoy's AccessLogService: a stream for each log of each worker; a message's entries commit as one."""
        async for message in requests:
            await self._guarded(self._take(message))
        return als_pb2.StreamAccessLogsResponse()

    async def _take(self, message: Any) -> None:
        await self._judgement.end([ended async for ended in self._ended(message)])

    async def _ended(self, message: Any) -> AsyncIterator[Ended]:
        """The ends that a message tells of; what it tells beside them is counted."""
        connects: list[Ended] = []
        for entry in message.http_logs.log_entry:
            common = entry.common_properties
            if common.access_log_type == accesslog_pb2.DownstreamPeriodic:
                await self._guarded(self._request_goes_on(entry))
            elif not common.custom_tags.get("decision"):
                self._count_undecided(entry)
            elif common.upstream_cluster == "inner":
                connects.append(connect_ended(entry))
            elif entry.response.response_code_details != _JUDGED:
                yield request_ended(entry)
        for entry in message.tcp_logs.log_entry:
            if entry.common_properties.access_log_type == accesslog_pb2.TcpPeriodic:
                moved = entry.connection_properties
                await self._guarded(self._goes_on(entry.common_properties, moved.received_bytes, moved.sent_bytes))
            else:
                yield tunnel_ended(entry)
        if connects:
            self._closing.add(task := asyncio.create_task(self._told_by_nobody(connects)))
            task.add_done_callback(self._closing.discard)

    async def _told_by_nobody(self, connects: list[Ended]) -> None:
        """Close tunnels whose inside had nothing to tell: they ended before anything of them left."""
        await asyncio.sleep(_INSIDE_S)
        await self._guarded(self._judgement.end(connects))

    async def _request_goes_on(self, entry: RequestEntry) -> None:
        """Count a plain request's bytes so far; a tunnel's are told by its inside."""
        if entry.common_properties.upstream_cluster == "world":
            sent, received = entry.request.request_body_bytes, entry.response.response_body_bytes
            await self._goes_on(entry.common_properties, sent, received)

    async def _goes_on(self, common: accesslog_pb2.AccessLogCommon, sent: int, received: int) -> None:
        """Count the bytes so far of what is open; where that is too much, all that its agent has open ends."""
        if await self._judgement.progress(common.custom_tags.get("decision", ""), sent, received):
            await self._cut(common.custom_tags.get("sandbox", ""))

    def _count_undecided(self, entry: RequestEntry) -> None:
        """What Envoy's codec rejected before the judge, and what the judge did not answer."""
        if entry.common_properties.upstream_cluster == "judge":
            return  # the sandbox's own questions
        sandbox = entry.common_properties.custom_tags.get("sandbox", "")
        status, details = entry.response.response_code.value, entry.response.response_code_details
        rule = "unanswered" if details == _JUDGED else "codec"
        self._folds.add(kind_of(Action.BLOCKED, rule, details, sandbox, self._door_of(sandbox), status))

    async def _guarded(self, work: Awaitable[object]) -> None:
        """What cannot be taken never ends the stream of what follows."""
        try:
            await work
        except RecordUnavailable:
            log.warning("an outcome could not be recorded: it will be closed as unknown")
        except Exception:
            log.exception("an entry of the access log could not be taken")


def kind_of(
    action: Action, rule: str, reason: str, sandbox: str, door: Door | None, status: int = 0
) -> dict[str, str | int]:
    """What is counted together of one sandbox, as fields of its entry."""
    agent, agent_type = (door.agent, door.agent_type) if door else ("", "")
    return {
        "action": action,
        "rule": rule,
        "reason": reason,
        "sandbox": sandbox,
        "agent": agent,
        "agent_type": agent_type,
        "status": status or "",
    }


def request_ended(entry: RequestEntry) -> Ended:
    """How a plain request ended."""
    common, answer = entry.common_properties, entry.response
    details = answer.response_code_details
    outcome = Outcome(
        status=answer.response_code.value,
        bytes_sent=entry.request.request_body_bytes,
        bytes_received=answer.response_body_bytes,
        duration_s=seconds(common.duration),
        details=details_of(common, details, refusal_of_request(details)),
    )
    return Ended(common.custom_tags["decision"], outcome)


def connect_ended(entry: RequestEntry) -> Ended:
    """How a CONNECT ended, where its tunnel's inside does not tell it better: nothing of it left."""
    common, details = entry.common_properties, entry.response.response_code_details
    outcome = Outcome(
        status=entry.response.response_code.value,
        bytes_sent=0,
        bytes_received=0,
        duration_s=seconds(common.duration),
        details=details_of(common, details, NOT_TLS if entry.request.request_body_bytes else ""),
    )
    return Ended(common.custom_tags["decision"], outcome)


def tunnel_ended(entry: TunnelEntry) -> Ended:
    """How a tunnel ended, by what its inside tells."""
    common, told = entry.common_properties, entry.connection_properties
    refusal = _refusal_of_tunnel(common)
    outcome = Outcome(
        status=0 if refusal else 200,
        bytes_sent=0 if refusal else told.received_bytes,  # what was refused never left
        bytes_received=told.sent_bytes,
        duration_s=seconds(common.duration),
        details=details_of(common, common.connection_termination_details, refusal),
    )
    return Ended(common.custom_tags.get("decision", ""), outcome)


def refusal_of_request(details: str) -> str:
    """Why Envoy refused a request that was allowed, from its response code details; empty where it did not."""
    if "address_denied" in details or "refused_address" in details:
        return ADDRESS_REFUSED
    return NAME_UNUSABLE if details.startswith("dns_resolution_failure") else ""


def _refusal_of_tunnel(common: accesslog_pb2.AccessLogCommon) -> str:
    details, flags = common.connection_termination_details, common.response_flags
    if flags.no_route_found:
        return NOT_TLS
    if "refused_address" in details:
        return ADDRESS_REFUSED
    if details.startswith("rbac_access_denied"):
        return WRONG_NAME
    if flags.no_healthy_upstream:
        return NAME_UNUSABLE
    return UNREACHABLE if flags.upstream_connection_failure else ""


def details_of(common: accesslog_pb2.AccessLogCommon, details: str, refusal: str) -> dict[str, str]:
    """What Envoy tells of an end, without what is empty or usual."""
    told = {} if details in ("", "via_upstream") else {"details": details}
    if flags := common.response_flags.ListFields():
        told["flags"] = ",".join(field.name for field, _ in flags)
    if upstream := common.upstream_remote_address.socket_address.address:
        told["upstream"] = f"{upstream}:{common.upstream_remote_address.socket_address.port_value}"
    if refusal:
        told["refused"] = refusal
    return told


def seconds(duration: Duration) -> float:
    """A duration as a number."""
    return duration.seconds + duration.nanos / 1e9
