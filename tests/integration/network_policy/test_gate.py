"""What the gate lets pass, what it refuses, and what the record says of both."""

import asyncio
import ssl
from concurrent import futures
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from stockade_network_policy.domain.policy import Limits

from support.gate import needs_envoy, policy, running_gate, until
from support.otlp import Receiver
from support.proxy import CLOSED
from support.world import World, a_world

pytestmark = [pytest.mark.gate, needs_envoy]

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_an_allowed_request_answers_and_its_outcome_is_joined(world: World) -> None:
    answer = await world.door.get(f"http://ok.test:{world.plain.port}/path?token=1")
    assert (answer.status, answer.body) == (200, b"ok\n")
    allowed = await world.gate.entry(action="ALLOWED", domain="ok.test", sandbox="sb-one")
    assert (allowed["agent"], allowed["rule"], allowed["path"]) == ("agent-sb-one", "allowed_domains:ok.test", "/path")
    outcome = await world.gate.entry(action="OUTCOME", intent_id=allowed["id"])
    assert (outcome["status"], outcome["bytes_received"]) == (200, 3)
    assert outcome["metadata"]["upstream"] == world.plain.endpoint


async def test_a_sandboxes_plain_requests_share_connections(world: World) -> None:
    for _ in range(8):
        await world.door.get(f"http://ok.test:{world.plain.port}/")
    assert world.plain.connections <= world.gate.settings.workers


async def test_a_refused_request_says_by_which_rule_and_why(world: World) -> None:
    answer = await world.door.get("http://evil.test/")
    told = answer.json()
    assert answer.status == 403
    assert (told["verdict"], told["rule"]) == ("BLOCKED", "block_unknown_domains")
    assert "evil.test" in told["reason"]
    entry = await world.gate.entry(action="BLOCKED", domain="evil.test")
    assert entry["id"] == told["decision"] == answer.headers["x-stockade-decision"]
    assert world.zone.queries == []  # a refused name is not even looked up


async def test_the_request_after_a_burst_is_told_when_to_come_again() -> None:
    limits = Limits(requests_per_minute=60, requests_per_hour=1000, burst_size=10)
    async with running_gate(policy("ok.test", limits=limits), clock_us=lambda: 1_000_000) as gate:
        door = await gate.open()
        statuses = [(await door.get("http://ok.test/")).status for _ in range(10)]
        eleventh = await door.get("http://ok.test/")
        assert 429 not in statuses
        assert (eleventh.status, eleventh.headers["retry-after"]) == (429, "1")
        assert eleventh.json()["rule"] == "requests_per_minute"
        await gate.entry(action="RATE_LIMITED", sandbox="sb-one")


async def test_a_tunnel_passes_and_is_told_from_its_inside(world: World) -> None:
    answer = await world.door.fetch(f"secure.test:{world.tls.port}", world.trust, "secure.test")
    assert answer.startswith(b"HTTP/1.1 200")
    allowed = await world.gate.entry(action="ALLOWED", domain="secure.test", method="CONNECT")
    outcome = await world.gate.entry(action="OUTCOME", intent_id=allowed["id"])
    assert outcome["status"] == 200
    assert outcome["bytes_sent"] > 500 < outcome["bytes_received"]
    assert outcome["metadata"]["upstream"] == world.tls.endpoint


async def test_a_tunnel_asked_for_by_http_1_0_passes_and_is_judged_alike(world: World) -> None:
    """Python's http.client asks so, without a Host."""
    tunnel = await world.door.connect(f"secure.test:{world.tls.port}", version="1.0")
    assert tunnel.answer.status == 200
    await tunnel.tls(world.trust, "secure.test")
    assert (await tunnel.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")
    tunnel.close()
    assert (await world.door.connect("evil.test:443", version="1.0")).answer.status == 403
    other = await world.door.connect(f"secure.test:{world.tls.port}", version="1.0")
    with pytest.raises((ssl.SSLError, ConnectionError, TimeoutError)):
        await other.tls(world.trust, "another.test")


MALFORMED = {
    "a tunnel to port 80": ("CONNECT", "ok.test:80", "hides plain HTTP"),
    "a tunnel without a port": ("CONNECT", "ok.test", ""),
    "an https URL as a plain request": ("GET", "https://ok.test/", "clear text"),
    "a port out of range": ("GET", "http://ok.test:99999/", ""),
}


@pytest.mark.parametrize(("method", "target", "why"), MALFORMED.values(), ids=MALFORMED)
async def test_a_request_that_hides_something_is_refused(world: World, method: str, target: str, why: str) -> None:
    answer = await world.door.say(f"{method} {target} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n".encode())
    assert answer.status in (400, 403)
    assert why.encode() in answer.body
    assert world.plain.untouched()


async def test_what_the_codec_rejects_is_on_the_record(world: World) -> None:
    assert (await world.door.say(b"NOT HTTP AT ALL\r\n\r\n")).status == 400
    entry = await world.gate.entry(action="BLOCKED", rule="codec")
    assert (entry["sandbox"], entry["agent"], entry["metadata"]["count"]) == ("sb-one", "agent-sb-one", 1)


async def test_a_request_that_announces_too_much_is_refused(world: World) -> None:
    url = f"http://ok.test:{world.plain.port}/"
    head = f"POST {url} HTTP/1.1\r\nHost: ok.test\r\nContent-Length: {10**12}\r\nConnection: close\r\n\r\n"
    answer = await world.door.say(head.encode())
    assert (answer.status, answer.json()["rule"]) == (403, "malformed")
    assert "send it in parts" in answer.json()["reason"]
    assert world.plain.untouched()


async def test_headers_beyond_the_bound_are_refused_readably_and_on_the_record(world: World) -> None:
    answer = await world.door.get(f"http://ok.test:{world.plain.port}/", f"X-Long: {'x' * 60_000}")
    assert (answer.status, answer.json()["reason"]) == (431, "HEADERS_TOO_LARGE")
    await world.gate.entry(action="BLOCKED", rule="codec", status=431)
    assert world.plain.untouched()


FORGED = ("X-Stockade-Sandbox: sb-two", "X-Stockade-Agent: root", "x-stockade-host: private.test", "x-stockade-port: 1")


async def test_nobody_says_who_he_is_but_the_door(world: World) -> None:
    assert (await world.door.get(f"http://ok.test:{world.plain.port}/", *FORGED)).status == 200
    entry = await world.gate.entry(action="ALLOWED")
    assert (entry["sandbox"], entry["agent"]) == ("sb-one", "agent-sb-one")
    assert world.private.untouched()


async def test_only_what_the_client_meant_for_the_upstream_leaves(world: World) -> None:
    own = (
        "Proxy-Authorization: Basic secret",
        "X-Request-Id: mine",
        "X-Envoy-Max-Retries: 9",
        f"traceparent: 00-{TRACE}-b7ad6b7169203331-01",
        "tracestate: vendor=1",
        "X-Stockade-Lease: lease.1",
        "X-Mine: yes",
    )
    await world.door.get(f"http://ok.test:{world.plain.port}/", *FORGED, *own)
    head = world.plain.heads[0].lower()
    assert sorted(line.partition(":")[0] for line in head.split("\r\n")[1:]) == ["host", "x-mine"]
    assert f"host: ok.test:{world.plain.port}" in head


async def test_the_clients_trace_goes_on_to_the_decision(world: World) -> None:
    await world.door.get("http://evil.test/", f"traceparent: 00-{TRACE}-b7ad6b7169203331-01")
    assert (await world.gate.entry(action="BLOCKED"))["trace_id"] == TRACE


async def test_the_gates_spans_join_the_clients_trace(world: World) -> None:
    received = Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(received, server)
    server.add_insecure_port(f"unix:{world.gate.settings.otlp}")
    server.start()
    url = f"http://ok.test:{world.plain.port}/?token=1"
    await world.door.get(url, f"traceparent: 00-{TRACE}-b7ad6b7169203331-01")
    await until(lambda: len(received.of_trace(TRACE)) == 2, 8, "the gate's spans")
    spans = {span.name: span for span in received.of_trace(TRACE)}
    assert spans["gate.request"].parent == "b7ad6b7169203331"
    assert spans["async judge egress"].parent == spans["gate.request"].id
    assert "token" not in str(spans)
    server.stop(0)


async def test_without_the_judge_nothing_passes_and_with_it_again_everything(world: World) -> None:
    url = f"http://ok.test:{world.plain.port}/"
    await world.gate.stop_service()
    plain, tunnel = await world.door.get(url), await world.door.connect(f"secure.test:{world.tls.port}")
    assert (plain.status, tunnel.answer.status) == (503, 503)
    assert world.plain.untouched()
    tunnel.close()
    await world.gate.start_service()
    assert (await world.door.get(url)).status == 200


async def test_a_websocket_is_upgraded(world: World) -> None:
    world.plain.reply = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    lines = [
        f"GET http://ok.test:{world.plain.port}/ HTTP/1.1",
        "Host: ok.test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    assert (await world.door.say("\r\n".join([*lines, "", ""]).encode())).status == 101


async def test_a_cap_of_its_own_holds_a_flood_and_one_entry_tells_of_it(tmp_path: Path) -> None:
    async with a_world(tmp_path, requests_per_second=20) as world:
        answers = await asyncio.gather(*(world.door.get("http://evil.test/") for _ in range(120)))
        neighbour = await (await world.gate.open("sb-two")).get("http://evil.test/")
        capped = [answer for answer in answers if answer.status == 429]
        assert 60 <= len(capped) <= 100
        assert capped[0].headers["retry-after"] == "1"
        assert neighbour.status == 403
        await until(lambda: _counted(world) == len(capped), 4, f"{len(capped)} refusals on the record")
        assert len(world.gate.entries(action="BLOCKED")) == 121 - len(capped)
        await world.gate.stop_service()
        await world.gate.start_service()
        await asyncio.sleep(1.5)  # until it has read Envoy's counters anew
        assert _counted(world) == len(capped)


def _counted(world: World) -> int:
    return sum(entry["metadata"]["count"] for entry in world.gate.entries(action="RATE_LIMITED", rule="local_cap"))


async def test_a_door_takes_so_many_connections_and_no_more(tmp_path: Path) -> None:
    async with a_world(tmp_path, connections=5) as world:
        held = [await world.door.connect(f"secure.test:{world.tls.port}") for _ in range(5)]
        assert [tunnel.answer.status for tunnel in held] == [200] * 5
        assert await world.door.get("http://evil.test/") == CLOSED
        for tunnel in held:
            tunnel.close()
        await world.gate.entry(action="RATE_LIMITED", rule="connection_limit", sandbox="sb-one")


async def test_a_sandbox_may_have_less_than_its_type(world: World) -> None:
    door = await world.gate.open("sb-two", narrowing=("secure.test",))
    answer = await door.get(f"http://ok.test:{world.plain.port}/")
    assert (answer.status, answer.json()["rule"]) == (403, "sandbox")


async def test_bytes_of_an_hour_end_a_plain_request_that_goes_on(world: World) -> None:
    world.plain.reply = b""  # it never answers, so that the request goes on
    limits = replace(policy().limits, bytes_per_hour=20_000)
    await world.gate.put(policy("ok.test", ports=(world.plain.port,), limits=limits))
    reader, writer = await asyncio.open_unix_connection(str(world.door.socket))
    head = f"POST http://ok.test:{world.plain.port}/ HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode() + b"7530\r\n" + b"x" * 30_000 + b"\r\n")
    async with asyncio.timeout(5):
        await reader.read()  # until it is cut
    writer.close()
    assert (await world.door.get(f"http://ok.test:{world.plain.port}/")).json()["rule"] == "bytes_per_hour"


async def test_bytes_of_an_hour_end_the_agents_tunnels(world: World) -> None:
    ports = (world.tls.port,)
    limits = replace(policy().limits, bytes_per_hour=20_000)
    await world.gate.put(policy("secure.test", ports=ports, limits=limits))
    tunnel = await world.door.connect(f"secure.test:{world.tls.port}")
    await tunnel.tls(world.trust, "secure.test")
    await tunnel.ask(b"x" * 30_000 + b"\r\n\r\n")
    assert await tunnel.closed(within_s=3)
    again = await world.door.connect(f"secure.test:{world.tls.port}")
    assert (again.answer.status, again.answer.json()["rule"]) == (429, "bytes_per_hour")
