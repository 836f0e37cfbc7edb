"""Where Envoy connects to: its own inner listeners, the services' sockets, and the world."""

from pathlib import Path
from typing import Any

from stockade_network_policy.gate import filters
from stockade_network_policy.gate.filters import Value
from stockade_network_policy.gate.settings import GateSettings

_PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def every(settings: GateSettings, services: list[str]) -> list[Value]:
    """All clusters."""
    gate = settings.gate_dir
    return [
        *(_internal(name) for name in ("gate", "inner", "api")),
        *(_socket(name, gate / f"{name}.sock", http2=True) for name in services),
        _socket("judge", gate / "judge.sock"),
        _socket("control", gate / "xds.sock", http2=True, keepalive=True),
        _socket("traces", settings.otlp, http2=True),
        _world(settings),
    ]


def pipe(path: Path) -> Value:
    """The address of a Unix socket."""
    return {"pipe": {"path": str(path)}}


def grpc(cluster: str) -> Value:
    """How Envoy itself calls a gRPC service."""
    return {"envoy_grpc": {"cluster_name": cluster}, "timeout": "5s"}


def _socket(name: str, path: Path, *, http2: bool = False, keepalive: bool = False) -> Value:
    options: Value = {"connection_keepalive": {"interval": "5s", "timeout": "2s"}} if keepalive else {}
    return _static(
        name,
        pipe(path),
        **({"typed_extension_protocol_options": _protocol("http2_protocol_options", options)} if http2 else {}),
    )


def _internal(name: str) -> Value:
    """A listener inside this Envoy; filter state crosses with the connection."""
    raw = filters.extension("transport_sockets.raw_buffer", "transport_sockets.raw_buffer.v3.RawBuffer")
    transport = filters.extension(
        "transport_sockets.internal_upstream",
        "transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
        transport_socket=raw,
    )
    address = {"envoy_internal_address": {"server_listener_name": name}}
    return _static(name, address, transport_socket=transport)


def _world(settings: GateSettings) -> Value:
    """Any host that the judge let pass, by the cache of names."""
    chain = [filters.upstream_addresses(settings), filters.strip(), filters.upstream_codec()]
    options = _protocol("http_protocol_options", {}, http_filters=chain)
    options[_PROTOCOLS] |= {"upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True}}
    return {
        "name": "world",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "circuit_breakers": _unbounded(),
        "typed_extension_protocol_options": options,
        "cluster_type": filters.extension(
            "clusters.dynamic_forward_proxy",
            "clusters.dynamic_forward_proxy.v3.ClusterConfig",
            dns_cache_config=filters.dns_cache(settings),
        ),
    }


def _static(name: str, address: Value, **config: Any) -> Value:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": _unbounded(),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        **config,
    }


def _unbounded() -> Value:
    names = ("max_connections", "max_pending_requests", "max_requests")
    return {"thresholds": [dict.fromkeys(names, filters.MANY)]}


def _protocol(version: str, options: Value, **config: Any) -> Value:
    return {
        _PROTOCOLS: {
            "@type": f"type.googleapis.com/{_PROTOCOLS}",
            "explicit_http_config": {version: options},
            **config,
        }
    }
