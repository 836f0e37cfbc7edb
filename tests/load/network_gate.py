"""Figures of the gate: what a durable decision costs each request, whole tunnels, doors, and Envoy's own protocols.

The origin is an Envoy that answers by itself, the client `wrk`, for tunnels `curl`: neither costs much beside the gate.
A door on a TCP port, made as the product makes its doors, lets them in.
"""

import asyncio
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from envoy.service.auth.v3 import external_auth_pb2
from stockade.networkpolicy.v1 import gate_service_pb2 as pb
from stockade_network_policy.gate import filters
from stockade_network_policy.gate.settings import GateSettings

from load.harness import ROOT, Figure, p50
from support.dns import Zone, serving
from support.gate import ENVOY
from support.gate_process import MANY, GateProcess, gate_process
from support.origins import authority

DOOR, UNJUDGED, ORIGIN, TLS_ORIGIN, MESH = 18431, 18432, 18433, 18434, 18435
SECONDS = 6
ADDRESS = "127.0.0.7"


async def measure() -> list[Figure]:
    """All of them, one after another."""
    settings = {
        "production": "false",
        "exceptions": f"{ADDRESS}:{ORIGIN},{ADDRESS}:{TLS_ORIGIN}",
        "requests_per_second": str(MANY),
        "connections_per_second": str(MANY),
        "connections": str(MANY),
    }
    with TemporaryDirectory(dir="/tmp", prefix="gb-") as text:
        directory = Path(text)
        authority(directory, "ok.test")
        async with serving(Zone({"ok.test": [ADDRESS]}, ttl=60)) as zone:
            with an_origin(directory), gate_process(with_tcp_doors, resolvers=zone.address, **settings) as gate:
                return await asyncio.to_thread(_figures, gate, directory, zone)


def _figures(gate: GateProcess, directory: Path, zone: Zone) -> list[Figure]:
    gate.allow("ok.test", ports=(ORIGIN, TLS_ORIGIN))
    gate.open("sb-bench")
    figures = [_requests(clients, target, directory) for clients, target in ((16, 0.3), (64, 0.36))]
    alone, bare = _wrk(DOOR, 1, directory)[1], _wrk(UNJUDGED, 1, directory)[1]
    figures.append(Figure("gate_added_p50_ms", alone - bare, "ms", "<= 0.5", {"same Envoy, no decision": bare}))
    figures.append(_tunnels())
    return [*figures, *_doors(gate), *_mesh(gate, directory, zone)]


def _requests(clients: int, target: float, directory: Path) -> Figure:
    bare = _wrk(UNJUDGED, clients, directory)[0]
    judged = _wrk(DOOR, clients, directory)[0]
    comparison = {"same Envoy, no decision, requests/s": bare}
    return Figure(f"gate_requests_ratio_{clients}", judged, "requests/s", f"ratio >= {target}", comparison)


def _tunnels() -> Figure:
    """Whole tunnels: CONNECT, handshake, one request."""
    name = f"ok.test:{TLS_ORIGIN}"
    direct = _curl("--resolve", f"{name}:{ADDRESS}")
    gated = _curl("--proxy", f"http://127.0.0.1:{DOOR}")
    return Figure("connect_tunnels_ratio", gated, "tunnels/s", "ratio >= 0.4", {"direct, connections/s": direct})


def _doors(gate: GateProcess) -> Iterator[Figure]:
    before = _rss_mb(gate)
    taken = []
    for number in range(500):
        started = time.perf_counter()
        gate.call("OpenDoor", pb.OpenDoorRequest(door=gate.door(f"sb-{number}")))
        taken.append(time.perf_counter() - started)
    yield Figure("doors_500_mb", _rss_mb(gate) - before, "MB", "<= 60")
    yield Figure("door_add_p50_ms", p50(sorted(taken[-100:])), "ms", "<= 5")


def _mesh(gate: GateProcess, directory: Path, zone: Zone) -> Iterator[Figure]:
    socket = gate.run_dir / "services" / "envoy.sock"
    example = yaml.safe_load((ROOT / "docs/examples/mesh/envoy.yaml").read_text())
    with _envoy(directory, "mesh", _mesh_configuration(example, socket, zone, asks=True)):
        asked = _wrk(MESH, 1, directory)[1]
    with _envoy(directory, "mesh", _mesh_configuration(example, socket, zone, asks=False)):
        bare = _wrk(MESH, 1, directory)[1]
    comparison = {"the same Envoy without it": bare}
    yield Figure("ext_authz_added_p50_ms", asked - bare, "ms", "<= 1", comparison)
    yield Figure("ext_authz_checks_per_s", _checks_per_s(socket, directory), "checks/s", ">= 3000")


def _checks_per_s(socket: Path, directory: Path) -> float:
    check = external_auth_pb2.CheckRequest()
    check.attributes.context_extensions.update({"stockade-agent": "ana", "stockade-agent-type": "tester"})
    check.attributes.request.http.method, check.attributes.request.http.host = "GET", f"ok.test:{ORIGIN}"
    message = check.SerializeToString()
    (directory / "check").write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    headers = [part for each in ("content-type: application/grpc", "te: trailers") for part in ("-H", each)]
    url = "http://localhost/envoy.service.auth.v3.Authorization/Check"
    command = ["h2load", f"--base-uri=unix:{socket}", "-n", "20000", "-c", "4", "-m", "16", "-d", directory / "check"]
    said = subprocess.run([*command, *headers, url], capture_output=True, text=True, check=True).stdout
    assert "20000 succeeded" in said, said
    return float(re.findall(r"([\d.]+) req/s", said)[0])


def with_tcp_doors(configuration: dict[str, Any]) -> None:
    """Adds two doors on TCP ports: to the gate, and to one that is the same but for judge and guard."""
    listeners = configuration["static_resources"]["listeners"]
    clusters = configuration["static_resources"]["clusters"]
    gate = next(listener for listener in listeners if listener["name"] == "gate")
    bare = yaml.safe_load(yaml.safe_dump(gate).replace("name: gate\n", "name: bare\n", 1))
    bare["name"] = "bare"
    chain = bare["filter_chains"][0]["filters"][0]["typed_config"]
    judging = ("envoy.filters.http.lua", "envoy.filters.http.rbac")
    chain["http_filters"] = [each for each in chain["http_filters"] if each["name"] not in judging]
    for host in chain["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            for name in judging:
                route.get("typed_per_filter_config", {}).pop(name, None)
    internal = next(cluster for cluster in clusters if cluster["name"] == "gate")
    clusters.append(yaml.safe_load(yaml.safe_dump(internal).replace(": gate", ": bare")))
    listeners += [bare, _tcp_door("gate", DOOR), _tcp_door("bare", UNJUDGED)]


def _tcp_door(cluster: str, port: int) -> dict[str, Any]:
    who = {"sandbox": "sb-bench", "agent": "agent-sb-bench", "agent-type": "tester"}
    chain = [filters.caller(**who), filters.tcp_proxy("door", cluster, idle_timeout="0s")]
    return {"name": f"tcp-{cluster}", "address": _tcp(port), "filter_chains": [{"filters": chain}]}


@contextmanager
def an_origin(directory: Path) -> Iterator[None]:
    """An Envoy of one worker that answers 200 by itself, in the clear and in TLS."""
    pem = {"filename": str(directory / "server.pem")}
    tls = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [{"certificate_chain": pem, "private_key": pem}]},
        },
    }
    listeners = [_answering(ORIGIN), _answering(TLS_ORIGIN, transport_socket=tls)]
    with _envoy(directory, "origin", {"static_resources": {"listeners": listeners}}):
        yield


def _answering(port: int, **chain: Any) -> dict[str, Any]:
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}}}]
    manager = filters.network(
        "http_connection_manager",
        "HttpConnectionManager",
        stat_prefix="origin",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[filters.router()],
    )
    return {"name": str(port), "address": _tcp(port, ADDRESS), "filter_chains": [{"filters": [manager], **chain}]}


def _mesh_configuration(example: dict[str, Any], socket: Path, zone: Zone, *, asks: bool) -> dict[str, Any]:
    text = yaml.safe_dump(example).replace("/run/stockade/services/envoy.sock", str(socket)).replace("3128", str(MESH))
    configuration: dict[str, Any] = yaml.safe_load(text)
    chain = configuration["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    chain["http_filters"] = [
        each for each in chain["http_filters"] if asks or each["name"] != "envoy.filters.http.ext_authz"
    ]
    resolver = filters.resolver(GateSettings(resolvers=(zone.address,)))
    for cached in (chain["http_filters"][-2], configuration["static_resources"]["clusters"][1]["cluster_type"]):
        cached["typed_config"]["dns_cache_config"]["typed_dns_resolver_config"] = resolver
    if not asks:
        del chain["route_config"]["virtual_hosts"][0]["typed_per_filter_config"]
    return configuration


@contextmanager
def _envoy(directory: Path, name: str, configuration: dict[str, Any]) -> Iterator[None]:
    path = directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(configuration))
    command = [ENVOY, "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    with subprocess.Popen(command) as process:
        time.sleep(1)
        try:
            yield
        finally:
            process.kill()


def _wrk(port: int, clients: int, directory: Path) -> tuple[float, float]:
    """Requests a second, and their p50 in milliseconds."""
    script = directory / "proxied.lua"
    head = f"GET http://ok.test:{ORIGIN}/ HTTP/1.1\\r\\nHost: ok.test\\r\\n\\r\\n"
    script.write_text(f'request = function() return "{head}" end\n')
    how = ["-t", "1", "-c", str(clients), "-d", f"{SECONDS}s", "--latency", "-s", script]
    for _ in range(3):  # a disk that hangs for a moment refuses some: then the figure is none
        command = ["wrk", *how, f"http://127.0.0.1:{port}/"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" not in said:
            break
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", said)
    ((value, unit),) = re.findall(r"50%\s+([\d.]+)(us|ms)", said)
    return float(rate), float(value) / (1000 if unit == "us" else 1)


def _curl(*how: str, count: int = 3000) -> float:
    """Connections a second that gave an answer, 16 at once, each for one request."""
    url = f"https://ok.test:{TLS_ORIGIN}/[1-{count}]"
    command = ["curl", "-sk", "--http1.1", "--parallel", "--parallel-immediate", "--parallel-max", "16", *how]
    told = ["-H", "Connection: close", "-o", "/dev/null", "-w", "%{http_code}\n", url]
    started = time.perf_counter()
    codes = subprocess.run([*command, *told], capture_output=True, text=True, check=False).stdout.split()
    return codes.count("200") / (time.perf_counter() - started)


def _rss_mb(gate: GateProcess) -> float:
    status = Path(f"/proc/{gate.envoy.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def _tcp(port: int, address: str = "127.0.0.1") -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
