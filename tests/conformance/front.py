"""A front that takes mutual TLS and leads to the operator's sockets, as a sidecar does: Envoy, with four routes."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conformance.certificates import Authority
from conformance.programs import ROOT

ENVOY = ROOT / ".tools/envoy/envoy/_bin/envoy"
PACKAGES = {"sandbox": "sandbox", "policy": "networkpolicy", "cache": "embeddingcache", "audit": "audit"}
START_S = 20


@contextmanager
def serving(operator: Path, place: Path, authority: Authority) -> Iterator[str]:
    """Serves the sockets in `operator` on a port of loopback to whoever has a certificate of `authority`."""
    port = _free_port()
    path = place / "front.json"
    path.write_text(json.dumps(bootstrap(operator, port, authority.file, authority.issue("server"))))
    with (place / "front.log").open("wb") as log:
        envoy = subprocess.Popen(
            [ENVOY, "-c", path, "--concurrency", "1", "--disable-hot-restart"], stdout=log, stderr=log
        )
        try:
            _wait_for(port, envoy)
            yield f"127.0.0.1:{port}"
        finally:
            envoy.terminate()
            envoy.wait()


def bootstrap(operator: Path, port: int, ca: str, server: Mapping[str, str]) -> dict[str, Any]:
    """Envoy's whole configuration."""
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [
                {"certificate_chain": {"filename": server["cert"]}, "private_key": {"filename": server["key"]}}
            ],
            "validation_context": {"trusted_ca": {"filename": ca}},
        },
    }
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": _routes()}],
    }
    listener = {"name": "front", "address": _address("127.0.0.1", port), "filter_chains": [chain]}
    clusters = [_cluster(service, operator / f"{service}.sock") for service in PACKAGES]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _routes() -> dict[str, Any]:
    routes = [
        {"match": {"prefix": f"/stockade.{package}."}, "route": {"cluster": service, "timeout": "0s"}}
        for service, package in PACKAGES.items()
    ]
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "@type": f"type.googleapis.com/{manager}",
        "stat_prefix": "front",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "0s",
        "route_config": {"virtual_hosts": [{"name": "stockade", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    }


def _cluster(name: str, path: Path) -> dict[str, Any]:
    options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, envoy: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and envoy.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the front did not start: front.log says why")
