"""`envoy.service.accesslog.v3.AccessLogService`: how the requests ended that a mesh's Envoy asked about."""

from collections.abc import AsyncIterator
from typing import Any

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from stockade_audit import RecordUnavailable
from stockade_rpckit.logs import get_logger

from stockade_network_policy.judgement import Ended, Judgement, Outcome

log = get_logger(__name__)

_METADATA = ("envoy.filters.http.ext_authz", "envoy.filters.network.ext_authz")
"""Where Envoy keeps what `Authorization` said of the decision."""


class AccessLog(als_pb2_grpc.AccessLogServiceServicer):
    """Joins a mesh's access log to decisions. The log is lossy: what never comes is closed as unknown."""

    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement

    async def StreamAccessLogs(
        self, requests: AsyncIterator[als_pb2.StreamAccessLogsMessage], _context: Any
    ) -> als_pb2.StreamAccessLogsResponse:
        """Part of Envoy's AccessLogService; a message's entries commit as one."""
        async for message in requests:
            told = [
                *map(_request_ended, message.http_logs.log_entry),
                *map(_connection_ended, message.tcp_logs.log_entry),
            ]
            try:
                await self._judgement.end([ended for ended in told if ended.decision_id])
            except RecordUnavailable:
                log.warning("outcomes could not be recorded: they will be closed as unknown")
        return als_pb2.StreamAccessLogsResponse()


def _request_ended(entry: accesslog_pb2.HTTPAccessLogEntry) -> Ended:
    sent, received = entry.request.request_body_bytes, entry.response.response_body_bytes
    return _ended(entry.common_properties, entry.response.response_code.value, sent, received)


def _connection_ended(entry: accesslog_pb2.TCPAccessLogEntry) -> Ended:
    moved = entry.connection_properties
    return _ended(entry.common_properties, 0, moved.received_bytes, moved.sent_bytes)


def _ended(common: accesslog_pb2.AccessLogCommon, status: int, sent: int, received: int) -> Ended:
    duration_s = common.duration.ToNanoseconds() / 1e9
    outcome = Outcome(status=status, bytes_sent=sent, bytes_received=received, duration_s=duration_s)
    return Ended(_decision(common), outcome)


def _decision(common: accesslog_pb2.AccessLogCommon) -> str:
    for name in _METADATA:
        if name in common.metadata.filter_metadata:
            return str(dict(common.metadata.filter_metadata[name].items()).get("decision", ""))
    return ""
