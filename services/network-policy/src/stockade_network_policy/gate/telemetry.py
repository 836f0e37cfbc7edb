"""What Envoy tells: logs that are joined to decisions, counts of what its caps refused, spans, and local replies."""

from stockade_network_policy.gate import clusters, filters
from stockade_network_policy.gate.filters import Value
from stockade_network_policy.gate.settings import GateSettings
from stockade_network_policy.refusals import EXPLAIN_HOST

REQUESTS, TUNNELS = "requests", "tunnels"
"""Names of the two logs, as the service sees them."""

CAPPED = "stockade_capped"
"""Counter of the requests that a local cap refused, by sandbox and chain."""

_TAGS = {
    "decision": "%DYNAMIC_METADATA(stockade:decision)%",
    "sandbox": "%FILTER_STATE(stockade.sandbox:PLAIN)%",
}
_CAPPED_DETAILS = "fault_filter_abort"


def requests() -> Value:
    """How each request that no cap refused goes on and ends, codec rejects and refused CONNECTs included."""
    logger = filters.extension(
        "access_loggers.http_grpc",
        "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config=_common(REQUESTS, _TAGS),
    )
    ended = [_of_type("DownstreamEnd"), _cel(f'response.code_details != "{_CAPPED_DETAILS}"')]
    goes_on = _of_type("DownstreamPeriodic")  # has no details yet, which no expression can look at
    return logger | {"filter": {"or_filter": {"filters": [goes_on, {"and_filter": {"filters": ended}}]}}}


def capped(chain: str) -> Value:
    """Counts, for each sandbox, what the cap refused: a flood must not become a flood of log entries."""
    counter = {
        "stat": {
            "name": CAPPED,
            "tags": [
                {"name": "sandbox", "value_format": _TAGS["sandbox"]},
                {"name": "chain", "value_format": chain},
            ],
        },
        "value_fixed": 1,
    }
    logger = filters.extension(
        "access_loggers.stats", "access_loggers.stats.v3.Config", stat_prefix="caps", counters=[counter]
    )
    return logger | {"filter": _cel(f'response.code_details == "{_CAPPED_DETAILS}"')}


def tunnels() -> Value:
    """A tunnel's bytes while it is open, and its end."""
    return filters.extension(
        "access_loggers.tcp_grpc",
        "access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
        common_config=_common(TUNNELS, _TAGS | {"decision": "%FILTER_STATE(stockade.decision:PLAIN)%"}),
    )


def unmatched_tunnels() -> Value:
    """The end of a tunnel that spoke no TLS, and so reached no chain of filters."""
    return tunnels() | {"filter": {"response_flag_filter": {"flags": ["NR"]}}}


def tracing(settings: GateSettings) -> Value:
    """Spans by OTLP. A request that brings a trace goes on in it; the path stays out, it may hold a secret."""
    return {
        "random_sampling": {"value": 100},  # the sampler decides
        "max_path_tag_length": 1,
        "custom_tags": [{"tag": f"stockade.{tag}", "value": value} for tag, value in _TAGS.items()],
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "stockade-gate",
                "grpc_service": clusters.grpc("traces"),
                "sampler": _sampler(settings),
            },
        },
    }


def _sampler(settings: GateSettings) -> Value:
    """As the client decided; a share of the requests without a trace."""
    kinds = "tracers.opentelemetry.samplers"
    share = filters.extension(
        f"{kinds}.trace_id_ratio_based",
        f"{kinds}.v3.TraceIdRatioBasedSamplerConfig",
        sampling_percentage={"numerator": settings.trace_percent, "denominator": "HUNDRED"},
    )
    return filters.extension(f"{kinds}.parent_based", f"{kinds}.v3.ParentBasedSamplerConfig", wrapped_sampler=share)


def local_replies() -> Value:
    """Envoy's own answers in the form of a refusal: an upstream on a refused address is a 502, not a 503."""
    decided = {"x-stockade-decision": _TAGS["decision"]}
    return {
        "mappers": [
            _reply('response.code_details.contains("address_denied")', 502, "ADDRESS_REFUSED", decided),
            _reply('response.code_details.contains("refused_address")', 502, "ADDRESS_REFUSED", decided),
            _reply('response.code_details.contains("dns_resolution_failure")', 502, "NAME_NOT_RESOLVED", decided),
            _reply(f'response.code_details == "{_CAPPED_DETAILS}"', 429, "LOCAL_CAP", {"retry-after": "1"}),
            _reply("response.code == 431", 431, "HEADERS_TOO_LARGE", {}),
        ]
    }


def _reply(condition: str, status: int, reason: str, headers: dict[str, str]) -> Value:
    told = headers | {"x-stockade-rule": reason.lower()}
    return {
        "filter": _cel(condition),
        "status_code": status,
        "headers_to_add": [filters.add(name, value) for name, value in told.items()],
        "body_format_override": {
            "json_format": {
                "verdict": "BLOCKED",
                "reason": reason,
                "decision": _TAGS["decision"],
                "explain": f"http://{EXPLAIN_HOST}/explain",
            }
        },
    }


def _common(name: str, tags: dict[str, str]) -> Value:
    return {
        "log_name": name,
        "grpc_service": clusters.grpc("control"),
        "transport_api_version": "V3",
        "buffer_flush_interval": "0.1s",
        "buffer_size_bytes": 65536,
        "custom_tags": [{"tag": tag, "value": value} for tag, value in tags.items()],
    }


def _of_type(name: str) -> Value:
    return {"log_type_filter": {"types": [name]}}


def _cel(expression: str) -> Value:
    return {
        "extension_filter": filters.extension(
            "access_loggers.extension_filters.cel",
            "access_loggers.filters.cel.v3.ExpressionFilter",
            expression=expression,
        )
    }
