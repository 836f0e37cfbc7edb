"""Every way past the gate, tried from inside a real sandbox of a running stack, and what the record says of it."""

import ipaddress
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from security.network import inside
from security.network.attempts import ADDRESSES, IN_TUNNELS, NUMERIC, REQUESTS, SMUGGLED, filled, writings
from support.outside import Outside
from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

AGENT, AGENT_TYPE = "outlaw-1", "devils-advocate"
ALLOWED = ("ok.test", "*.wild.test", "private.test", "alias.test")
LEADS_AWAY = b"HTTP/1.1 302 Found\r\nlocation: http://evil.test/\r\ncontent-length: 0\r\n\r\n"
FRONTS = ("evil.test", "EVIL.test", "sub.ok.test", None)
REFUSED = (0, 400, 403, 404, 405, 426, 501)

Attempt = dict[str, Any]


@dataclass
class Report:
    """What was tried and what came of it; `entries` is what the record has of the agent."""

    outside: Outside
    attempts: dict[str, Attempt]
    told: dict[str, Any]
    entries: list[dict[str, Any]]

    def of(self, *prefixes: str) -> dict[str, Any]:
        """What came of the attempts whose names begin so."""
        return {name: told for name, told in self.told.items() if name.startswith(prefixes)}

    def refused(self, decision: str) -> list[dict[str, Any]]:
        """The entries that say that this decision, or what it allowed, was refused."""
        return [
            entry
            for entry in self.entries
            if entry["action"] == "BLOCKED" and decision in (entry["id"], entry.get("intent_id"))
        ]


def said(text: str, port: int = 80) -> Attempt:
    """A head for the proxy; what its placeholders stand for has one port."""
    ports = dict.fromkeys(("EVIL", "OK", "PRIVATE"), port)
    return {"how": "say", "pieces": hexed(filled(text, ports))}


def hexed(*pieces: bytes) -> list[str]:
    """Bytes as JSON can carry them."""
    return [piece.hex() for piece in pieces]


def both_ways(host: str) -> dict[str, Attempt]:
    """A plain request and a CONNECT."""
    return {
        f"{host}, plain": said(f"GET http://{host}/ HTTP/1.1\nHost: x"),
        f"{host}, tunnel": said(f"CONNECT {host}:443 HTTP/1.1\nHost: x"),
    }


def numeric(outside: Outside) -> list[str]:
    """Hosts that are addresses, the private origin's own in every writing among them."""
    return [*NUMERIC, *writings(outside.private.address), "localhost", "0x7f.1"]


def led(outside: Outside) -> dict[str, Any]:
    """Names that policy allows, and where their DNS leads."""
    private = outside.private.address
    nat64 = str(ipaddress.IPv6Address((0x64FF9B << 96) | int(ipaddress.IPv4Address(private))))
    addresses = (*ADDRESSES, private, f"::ffff:{private}", nat64)
    names: dict[str, Any] = {f"a{number}.wild.test": [address] for number, address in enumerate(addresses)}
    return names | {"private.test": [private], "alias.test": ["->private.test"], "alias.wild.test": ["->private.test"]}


def rebinding(outside: Outside) -> Callable[[], list[str]]:
    """Where the allowed origin is when it is looked at, and the private one is ever after; for no time at all."""
    answers = iter([[outside.ok.address]])
    return lambda: next(answers, [outside.private.address])


def plan(outside: Outside) -> dict[str, Attempt]:
    """All attempts, by name."""
    attempts = {name: said(text, 443 if text.startswith("CONNECT") else 80) for name, text in REQUESTS.items()}
    for host in numeric(outside):
        attempts |= both_ways(host)
    for name, pieces in IN_TUNNELS.items():
        attempts[f"in a tunnel: {name}"] = {"how": "tunnel", "target": "ok.test:443", "pieces": hexed(*pieces)}
    for server_name in FRONTS:
        attempts[f"front: {server_name}"] = {"how": "tls", "target": "ok.test:443", "server_name": server_name}
    for name in led(outside):
        attempts[f"led: {name}"] = said(f"GET http://{name}/ HTTP/1.1\nHost: x")
        attempts[f"led, in TLS: {name}"] = {"how": "tls", "target": f"{name}:443", "server_name": name}
    for after in (0, 2, 5.5, 7):
        attempts[f"rebinding: {after} s"] = said("GET http://rebind.wild.test/ HTTP/1.1\nHost: x") | {"after": after}
    for name, text in SMUGGLED.items():
        attempts[f"smuggled: {name}"] = said(text)
    attempts |= without_a_proxy(outside)
    attempts["in TLS, under its name"] = {"how": "tls", "target": "ok.test:443", "server_name": "ok.test"}
    attempts["a redirect"] = {"how": "follow", "url": "http://ok.test/"}
    return attempts | {f"kernel: {call}": {"how": "kernel", "call": call} for call in inside.KERNEL}


def without_a_proxy(outside: Outside) -> dict[str, Attempt]:
    """What programs do that ignore proxies: they ask the name server, and dial what it says."""
    plain, other = filled("GET / HTTP/1.1\nHost: evil.test", {}), IN_TUNNELS["another name"][0]
    dialled = {
        "a refused name": ("evil.test", 80, plain),
        "a refused name, in TLS": ("evil.test", 443, other),
        "an allowed name, for another": ("ok.test", 80, plain),
        "an allowed name, for another, in TLS": ("ok.test", 443, other),
        "a numeric name": ("0x7f.1", 80, plain),
        "the origin's own address": (outside.evil.address, 80, plain),
    }
    return {
        f"no proxy: {name}": {"how": "transparent", "host": host, "port": port, "pieces": hexed(piece)}
        for name, (host, port, piece) in dialled.items()
    }


@pytest.fixture(scope="module")
def report(stack: Stack) -> Report:
    """All attempts, made once."""
    world = stack.outside
    names = {"ok.test": [world.ok.address], "evil.test": [world.evil.address], "rebind.wild.test": rebinding(world)}
    world.zone.names |= led(world) | names
    kept, world.ok.plain.reply = world.ok.plain.reply, LEADS_AWAY
    world.forget()
    attempts = plan(world)
    with stack.policy(AGENT_TYPE, *ALLOWED), stack.sandbox(AGENT, AGENT_TYPE) as name:
        assert stack.stockade("sandbox", "cp", inside.__file__, f"{name}:/workspace").returncode == 0
        done = stack.stockade("sandbox", "exec", name, "--", "python3", "inside.py", stdin=json.dumps(attempts))
        time.sleep(1.5)  # the gate counts by the second what its codec refused
    world.ok.plain.reply = kept
    assert done.returncode == 0, done.stderr
    return Report(world, attempts, json.loads(done.stdout), stack.entries(AGENT, limit="5000"))


def test_nothing_was_reached_that_policy_does_not_allow(report: Report) -> None:
    assert report.outside.evil.untouched()
    assert report.outside.private.untouched()


def test_the_allowed_origin_heard_nothing_but_requests_to_itself(report: Report) -> None:
    ok = report.outside.ok
    assert ok.plain.heads
    hosts = {line for head in ok.plain.heads for line in head.lower().split("\r\n") if line.startswith("host:")}
    assert hosts == {"host: ok.test", "host: rebind.wild.test"}
    assert ok.tls.connections == 1  # under its own name, so that the others' silence says something
    assert report.told["in TLS, under its name"]["received"] > 0


def test_no_refused_name_was_looked_up(report: Report) -> None:
    asked = {name for name in report.outside.zone.queries if not name.endswith(".wild.test")}
    assert asked <= report.outside.zone.names.keys() - {"evil.test"}


def test_every_request_was_refused_as_policy_refuses(report: Report) -> None:
    hosts = tuple(numeric(report.outside))
    told = {**{name: report.told[name] for name in REQUESTS}, **report.of(*hosts)}
    assert {name: each for name, each in told.items() if each["status"] not in REFUSED} == {}


def test_no_tunnel_said_a_word(report: Report) -> None:
    told = report.of("in a tunnel: ", "front: ", "led, in TLS: ")
    assert {name: each for name, each in told.items() if each["received"]} == {}


def test_no_name_led_astray(report: Report) -> None:
    assert {name: each for name, each in report.of("led: ").items() if each["status"] != 502} == {}
    assert {each["status"] for each in report.of("rebinding: ").values()} == {302}  # held to the first address


def test_a_redirect_is_asked_for_anew_and_refused(report: Report) -> None:
    told = report.told["a redirect"]
    assert (told["status"], told["url"]) == (403, "http://evil.test/")


def test_no_program_passes_by_ignoring_proxies(report: Report) -> None:
    assert {each["status"] for each in report.of("no proxy: ").values()} <= {0, 400, 403}


@pytest.mark.parametrize("call", inside.KERNEL)
def test_the_kernel_of_the_sandbox_refuses(report: Report, call: str) -> None:
    assert report.told[f"kernel: {call}"]["refused"]


def test_each_refusal_by_policy_is_on_the_record(report: Report) -> None:
    """By the id that its answer carried, be it refused when it was asked or when its name led to a refused address."""
    decided = {name: each["decision"] for name, each in report.told.items() if each.get("decision")}
    assert len(decided) > 100
    assert [name for name, decision in decided.items() if len(report.refused(decision)) != 1] == []


def test_each_silent_end_is_on_the_record(report: Report) -> None:
    """Of tunnels by what was said in them, of names by where they led."""
    ends = Counter(entry["rule"] for entry in report.entries if entry["action"] == "BLOCKED" and "intent_id" in entry)
    tunnels = report.of("in a tunnel: ", "front: ", "no proxy: an allowed name, for another, in TLS")
    assert ends["not_tls"] + ends["server_name"] == len(tunnels)
    assert ends["address_refused"] + ends["name_unusable"] == len(report.of("led: ", "led, in TLS: "))


def test_what_the_codec_refused_is_on_the_record(report: Report) -> None:
    undecided = {name for name, told in report.told.items() if told.get("status", 0) >= 400 and not told["decision"]}
    by_its_own_door = report.of("no proxy: ").keys()  # its PID 1 refused them: they did not leave the sandbox
    counts = [entry["metadata"]["count"] for entry in report.entries if entry.get("rule") == "codec"]
    assert sum(counts) >= len(undecided - by_its_own_door)  # what hid behind another is counted, too
