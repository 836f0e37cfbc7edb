"""The third layer on addresses, with packets: nftables hold the gate's user, and nobody else, to what it may reach.

In a network of the test's own, where all addresses are on lo: the world's, the cloud's and the company's.
"""

import json
import subprocess
import sys

import pytest
from stockade_network_policy.gate import firewall
from stockade_network_policy.gate.settings import GateSettings

pytestmark = pytest.mark.gate

GATE_UID, OTHER_UID = 1_999_000_123, 1_999_000_124
RESOLVER, OWN = "10.9.0.53", "9.9.9.9"
PUBLIC = ("8.8.4.4", "2606:4700:4700::1111")
REFUSED = (
    "127.0.0.1",
    "10.9.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.0.1",
    "198.18.0.1",
    OWN,  # public, but the host's
    "::1",
    "fd00:ec2::254",
    "64:ff9b::a9fe:a9fe",
)
SETTINGS = GateSettings(
    production=False, resolvers=(f"{RESOLVER}:53",), exceptions=("127.0.0.9:80",), denied_addresses=(f"{OWN}/32",)
)

Attempt = tuple[int, str, str, int]
"""Who (a uid), how (`tcp`, `udp`), and where to."""

PASSES: dict[str, Attempt] = {
    "a public address": (GATE_UID, "tcp", PUBLIC[0], 80),
    "a public address, IPv6": (GATE_UID, "tcp", PUBLIC[1], 80),
    "the resolver, though private": (GATE_UID, "udp", RESOLVER, 53),
    "the resolver by TCP": (GATE_UID, "tcp", RESOLVER, 53),
    "an exception": (GATE_UID, "tcp", "127.0.0.9", 80),
    **{f"{address}, by another user": (OTHER_UID, "tcp", address, 80) for address in REFUSED},
    "UDP, by another user": (OTHER_UID, "udp", PUBLIC[0], 53),
}
STOPS: dict[str, Attempt] = {
    **{f"{address}": (GATE_UID, "tcp", address, 80) for address in REFUSED},
    **{f"{address}, by UDP": (GATE_UID, "udp", address, 53) for address in REFUSED},
    "another port of the resolver": (GATE_UID, "tcp", RESOLVER, 80),
    "another port of an exception": (GATE_UID, "tcp", "127.0.0.9", 81),
    "an exception by UDP": (GATE_UID, "udp", "127.0.0.9", 80),
    "a public address by UDP": (GATE_UID, "udp", PUBLIC[0], 53),
    "a public address by UDP, IPv6": (GATE_UID, "udp", PUBLIC[1], 53),
}

WORLD = """
import json, os, socket, subprocess, sys

wanted = json.load(sys.stdin)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address in wanted["addresses"]:
    whole = f"{address}/128" if ":" in address else f"{address}/32"
    subprocess.run(["ip", "address", "add", whole, "dev", "lo"], check=True)
subprocess.run(["nft", "-f", "-"], input=wanted["rules"].encode(), check=True)

def listening(kind, family, port):
    server = socket.socket(family, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(("", port))
    if kind == socket.SOCK_STREAM:
        server.listen(64)
    server.settimeout(0.05)
    return server

servers = {
    (protocol, family, port): listening(kind, family, port)
    for protocol, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM))
    for family in (socket.AF_INET, socket.AF_INET6)
    for port in (53, 80, 81)
}

def sent(uid, protocol, family, address, port):
    os.seteuid(uid)  # whose socket it is, is who the rules go by
    try:
        with socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as client:
            client.settimeout(0.2)
            client.connect((address, port))
            if protocol == "udp":
                client.send(b"question")
    except OSError as error:
        return type(error).__name__
    finally:
        os.seteuid(0)
    return ""

def arrived(server):
    try:
        server.accept()[0].close() if server.type == socket.SOCK_STREAM else server.recv(99)
    except TimeoutError:
        return False
    return True

def attempt(uid, protocol, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    error = sent(uid, protocol, family, address, port)
    return {"error": error, "arrived": arrived(servers[protocol, family, port])}

print(json.dumps({name: attempt(*each) for name, each in wanted["attempts"].items()}))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, object]]:
    """What came of each attempt."""
    addresses = {address for _, _, address, _ in (PASSES | STOPS).values()} - {"127.0.0.1", "::1"}
    wanted = {
        "addresses": sorted(addresses),
        "rules": firewall.rules(SETTINGS, GATE_UID),
        "attempts": PASSES | {f"not {name}": each for name, each in STOPS.items()},
    }
    command = ["unshare", "--net", sys.executable, "-c", WORLD]
    done = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, dict[str, object]] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("name", PASSES)
def test_what_may_be_reached_is(told: dict[str, dict[str, object]], name: str) -> None:
    assert told[name] == {"error": "", "arrived": True}


@pytest.mark.parametrize("name", STOPS)
def test_what_may_not_be_reached_hears_nothing(told: dict[str, dict[str, object]], name: str) -> None:
    assert told[f"not {name}"]["error"]
    assert not told[f"not {name}"]["arrived"]
