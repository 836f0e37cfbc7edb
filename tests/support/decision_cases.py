"""One table of decisions that every way of asking is held to: the pure function, the RPC, the gate, the SDK."""

from __future__ import annotations

from dataclasses import dataclass

from stockade_network_policy.domain.decision import Request
from stockade_network_policy.domain.policy import Limits, Mode, Policy

ROOMY = Limits(requests_per_minute=100_000, requests_per_hour=1_000_000, burst_size=100_000)


def policy(agent_type: str = "tester", **fields: object) -> Policy:
    """A policy that allows api.example.com and what is below npmjs.org, changed as told."""
    values: dict[str, object] = {"allowed_domains": ("*.npmjs.org", "api.example.com"), "limits": ROOMY}
    return Policy(agent_type=agent_type, **{**values, **fields})  # type: ignore[arg-type]


def request(host: str = "api.example.com", port: int = 443, **fields: object) -> Request:
    """A request of agent a1, changed as told."""
    values: dict[str, object] = {"agent": "a1", "agent_type": "tester", "method": "GET"}
    return Request(host=host, port=port, **{**values, **fields})  # type: ignore[arg-type]


_USUAL = policy()


@dataclass(frozen=True, slots=True)
class Case:
    """A request under a policy, and what it gets."""

    request: Request
    allowed: bool
    rule: str
    policy: Policy = _USUAL
    reported: bool = False


_OPEN = policy(block_unknown_domains=False)
_REPORT = policy(mode=Mode.REPORT)
_ODD_PORTS = policy(allowed_ports=(8443,))
_NOTHING = policy(allowed_domains=())

CASES: dict[str, Case] = {
    "a listed host": Case(request(), True, "allowed_domains:api.example.com"),
    "a listed host on port 80": Case(request(port=80), True, "allowed_domains:api.example.com"),
    "a listed host, typed otherwise": Case(request("API.Example.com."), True, "allowed_domains:api.example.com"),
    "a host below a wildcard": Case(request("packages.npmjs.org"), True, "allowed_domains:*.npmjs.org"),
    "far below a wildcard": Case(request("a.b.npmjs.org"), True, "allowed_domains:*.npmjs.org"),
    "the apex of a wildcard": Case(request("npmjs.org"), False, "block_unknown_domains"),
    "an unknown host": Case(request("evil.com"), False, "block_unknown_domains"),
    "a host that ends alike": Case(request("evilapi.example.com.evil.com"), False, "block_unknown_domains"),
    "a host below an exact name": Case(request("x.api.example.com"), False, "block_unknown_domains"),
    "a port that is not open": Case(request(port=22), False, "allowed_ports"),
    "a port of the policy's own": Case(
        request(port=8443, host="api.example.com"), True, "allowed_domains:api.example.com", _ODD_PORTS
    ),
    "443 where the policy names others": Case(request(), False, "allowed_ports", _ODD_PORTS),
    "an octal address": Case(request("012.0.0.1"), False, "host"),
    "a hexadecimal address": Case(request("0x7f.1"), False, "host"),
    "userinfo before the host": Case(request("api.example.com@evil.com"), False, "host"),
    "a null byte": Case(request("api.example.com\x00.evil.com"), False, "host"),
    "an empty host": Case(request(""), False, "host"),
    "loopback": Case(request("127.0.0.1"), False, "special_address"),
    "private": Case(request("10.1.2.3"), False, "special_address"),
    "metadata": Case(request("169.254.169.254"), False, "special_address"),
    "a cloud's own metadata address": Case(request("168.63.129.16"), False, "special_address"),
    "IPv6 loopback": Case(request("[::1]"), False, "special_address"),
    "IPv4 in IPv6": Case(request("::ffff:10.0.0.1"), False, "special_address"),
    "NAT64 of a private address": Case(request("64:ff9b::a00:1"), False, "special_address"),
    "a public address": Case(request("93.184.216.34"), False, "block_unknown_domains"),
    "a public address where unknown pass": Case(request("93.184.216.34"), True, "block_unknown_domains", _OPEN),
    "loopback where unknown pass": Case(request("127.0.0.1"), False, "special_address", _OPEN),
    "an unknown public name where those pass": Case(request("evil.com"), True, "block_unknown_domains", _OPEN),
    "a name that is not public where unknown pass": Case(
        request("metadata.google.internal"), False, "block_unknown_domains", _OPEN
    ),
    "a single label where unknown pass": Case(request("intranet"), False, "block_unknown_domains", _OPEN),
    "a closed port where unknown pass": Case(request("evil.com", 22), False, "allowed_ports", _OPEN),
    "reported: an unknown public name": Case(request("evil.com"), True, "block_unknown_domains", _REPORT, True),
    "reported: a closed port": Case(request(port=22), True, "allowed_ports", _REPORT, True),
    "reported: a listed host is just allowed": Case(request(), True, "allowed_domains:api.example.com", _REPORT),
    "not reported but refused: private": Case(request("10.0.0.1"), False, "special_address", _REPORT),
    "not reported but refused: no form": Case(request("0x7f.1"), False, "host", _REPORT),
    "not reported but refused: not public": Case(request("db.internal"), False, "block_unknown_domains", _REPORT),
    "narrowed to it": Case(request(narrowing=("api.example.com",)), True, "allowed_domains:api.example.com"),
    "narrowed to others": Case(request(narrowing=("*.npmjs.org",)), False, "sandbox"),
    "narrowed to nothing": Case(request(narrowing=()), False, "sandbox"),
    "a narrowing cannot widen": Case(request("evil.com", narrowing=("evil.com",)), False, "block_unknown_domains"),
    "narrowed and reported": Case(request("evil.com", narrowing=("api.example.com",)), False, "sandbox", _REPORT),
    "a policy that allows nothing": Case(request(), False, "block_unknown_domains", _NOTHING),
    "refused by the asker's protocol": Case(request(malformed="two Host headers"), False, "malformed"),
}
