"""Envoy's whole configuration, rendered from the settings: what is static; the doors come and go by delta LDS.

door (egress) → gate: identity → cap → judge → guard → destination → names → router → upstream
                                                            CONNECT ↘ inner: SNI → names → addresses → upstream
door (api)    → api:  identity → cap → router by gRPC path → Stockade's services
"""

from typing import Any

import yaml

from stockade_network_policy.gate import clusters, filters, telemetry
from stockade_network_policy.gate.filters import Value
from stockade_network_policy.gate.settings import GateSettings
from stockade_network_policy.refusals import EXPLAIN_HOST

SERVICES = {"sandbox": "sandbox", "networkpolicy": "policy", "embeddingcache": "cache", "audit": "audit"}
"""From the package in a gRPC path to the short name of the service that answers it."""


def render(settings: GateSettings) -> str:
    """The configuration as YAML."""
    return yaml.safe_dump(bootstrap(settings), sort_keys=False, width=160)


def bootstrap(settings: GateSettings) -> Value:
    """The configuration as a value (`envoy.config.bootstrap.v3.Bootstrap`)."""
    return {
        "node": {"id": "gate", "cluster": "stockade"},
        "admin": {"address": clusters.pipe(settings.gate_dir / "admin.sock")},
        "bootstrap_extensions": [
            filters.extension("bootstrap.internal_listener", "bootstrap.internal_listener.v3.InternalListener")
        ],
        "dynamic_resources": {"lds_config": _doors()},
        "static_resources": {
            "listeners": [gate(settings), inner(settings), api(settings)],
            "clusters": clusters.every(settings, list(SERVICES.values())),
        },
        "overload_manager": overload(settings),
        "layered_runtime": {"layers": [{"name": "static", "static_layer": runtime()}]},
    }


def gate(settings: GateSettings) -> Value:
    """The one chain behind all doors to the world."""
    manager = _connection_manager(
        "gate",
        settings,
        codec_type="HTTP1",
        # Python's http.client, and so pip and requests, asks for its tunnels by HTTP/1.0.
        http_protocol_options={"allow_absolute_url": True, "accept_http_10": True},
        upgrade_configs=[{"upgrade_type": "CONNECT"}, {"upgrade_type": "websocket"}],
        route_config={"name": "gate", "virtual_hosts": [_explain(), _world(settings)]},
        local_reply_config=telemetry.local_replies(),
        access_log=[telemetry.requests(), telemetry.capped("gate")],
        access_log_options={"access_log_flush_interval": "1s"},
        http_filters=[
            filters.identity_headers(),
            filters.cap("gate", settings.requests_per_second),
            filters.hold_back(http_status=429),
            filters.judge(settings),
            filters.guard(),
            filters.destination(),
            filters.forward_proxy(settings),
            filters.router(),
        ],
    )
    return _internal("gate", [{"filters": [manager]}])


def inner(settings: GateSettings) -> Value:
    """What a tunnel passes: TLS only, to the CONNECT host only, to no refused address, connected last of all."""
    proxy = filters.tcp_proxy(
        "tunnel",
        "world",
        # Else the upstream is connected before the filters before this one judge the first bytes.
        upstream_connect_mode="ON_DOWNSTREAM_DATA",
        max_early_data_bytes=16384,
        idle_timeout=f"{settings.tunnel_idle_seconds}s",
        access_log=[telemetry.tunnels()],
        access_log_options={"access_log_flush_interval": "1s"},
    )
    chain = [
        filters.server_name(),
        filters.tunnel_forward_proxy(settings),
        filters.tunnel_addresses(settings),
        proxy,
    ]
    inspector = filters.extension(
        "filters.listener.tls_inspector",
        "filters.listener.tls_inspector.v3.TlsInspector",
    )
    return {
        **_internal("inner", [{"filter_chain_match": {"transport_protocol": "tls"}, "filters": chain}]),
        "listener_filters": [inspector],
        "listener_filters_timeout": "10s",
        "access_log": [telemetry.unmatched_tunnels()],
    }


def api(settings: GateSettings) -> Value:
    """The chain behind all doors to Stockade's own services."""
    routes = [
        {
            "decorator": {"operation": "gate.call"},
            "match": {"prefix": f"/stockade.{package}.v1."},
            "route": {"cluster": name, "timeout": "0s", "max_stream_duration": {"grpc_timeout_header_max": "0s"}},
        }
        for package, name in SERVICES.items()
    ]
    elsewhere = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}  # gRPC clients read UNIMPLEMENTED
    manager = _connection_manager(
        "api",
        settings,
        codec_type="HTTP2",
        http2_protocol_options={"max_concurrent_streams": 256},
        route_config={
            "name": "api",
            "virtual_hosts": [{"name": "services", "domains": ["*"], "routes": [*routes, elsewhere]}],
        },
        access_log=[telemetry.capped("api")],
        http_filters=[
            filters.identity_headers(),
            filters.cap("api", settings.api_requests_per_second),
            filters.hold_back(grpc_status=8),  # RESOURCE_EXHAUSTED
            filters.router(),
        ],
    )
    return _internal("api", [{"filters": [manager]}])


def runtime() -> Value:
    """Switches of Envoy's own behaviour."""
    # Else an answer followed by a close reaches the door as a reset, and the answer is lost.
    return {"envoy.reloadable_features.enable_send_rst_on_user_space_socket": False}


def overload(settings: GateSettings) -> Value:
    """Past its heap Envoy refuses requests; it never grows until the host ends it."""
    heap = filters.extension(
        "resource_monitors.fixed_heap",
        "resource_monitors.fixed_heap.v3.FixedHeapConfig",
        max_heap_size_bytes=settings.heap_megabytes * 1024 * 1024,
    )
    thresholds = {"shrink_heap": 0.8, "disable_http_keepalive": 0.9, "stop_accepting_requests": 0.95}
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [heap],
        "actions": [
            {
                "name": f"envoy.overload_actions.{action}",
                "triggers": [{"name": heap["name"], "threshold": {"value": threshold}}],
            }
            for action, threshold in thresholds.items()
        ],
    }


def _connection_manager(name: str, settings: GateSettings, **config: Any) -> Value:
    return filters.network(
        "http_connection_manager",
        "HttpConnectionManager",
        stat_prefix=name,
        early_header_mutation_extensions=[filters.forget_claims()],
        server_header_transformation="PASS_THROUGH",
        skip_xff_append=True,
        max_request_headers_kb=32,
        common_http_protocol_options={"max_headers_count": 100, "idle_timeout": "120s"},
        request_headers_timeout="10s",
        stream_idle_timeout=f"{settings.tunnel_idle_seconds}s",
        tracing=telemetry.tracing(settings),
        **config,
    )


def _explain() -> Value:
    """Answered by the judge, for whoever the door says, without a judgement."""
    route = {
        "match": {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
        "route": {"cluster": "judge", "timeout": "5s"},
        "typed_per_filter_config": filters.unjudged(),
    }
    return {
        "name": "explain",
        "domains": [EXPLAIN_HOST, f"{EXPLAIN_HOST}:80"],
        "routes": [route, *_refused_elsewhere()],
    }


def _refused_elsewhere() -> list[Value]:
    refused = {"status": 405, "body": {"inline_string": f"ask with GET http://{EXPLAIN_HOST}/explain\n"}}
    matches: list[Value] = [{"connect_matcher": {}}, {"prefix": "/"}]
    return [
        {"match": match, "direct_response": refused, "typed_per_filter_config": filters.unjudged()} for match in matches
    ]


def _world(settings: GateSettings) -> Value:
    lifetime = {"max_stream_duration": f"{settings.tunnel_seconds}s"}
    tunnel = {
        "decorator": {"operation": "gate.tunnel"},
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": "inner",
            "timeout": "0s",
            "max_stream_duration": lifetime,
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
        "typed_per_filter_config": filters.tunnel_destination(),
    }
    plain = {
        "decorator": {"operation": "gate.request"},
        "match": {"prefix": "/"},
        "route": {
            "cluster": "world",
            "timeout": "0s",
            "max_stream_duration": lifetime,
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        },
    }
    return {"name": "world", "domains": ["*"], "routes": [tunnel, plain]}


def _internal(name: str, filter_chains: list[Value]) -> Value:
    return {"name": name, "internal_listener": {}, "filter_chains": filter_chains}


def _doors() -> Value:
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "1s",
        "api_config_source": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "grpc_services": [clusters.grpc("control")],
        },
    }
