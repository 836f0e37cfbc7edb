"""The wall around a WHITELISTED sandbox, from inside, on a real stack: what gets out and what is recorded."""

import json
import textwrap
import time
from typing import Any

import pytest

from support.stack import ALLOWED, REFUSED, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

PROBE = textwrap.dedent("""
    import http.client, json, os, socket, sys, urllib.error, urllib.request

    def connect(address, port=80):
        try:
            socket.create_connection((address, port), 3).close()
        except OSError as error:
            return type(error).__name__
        return "CONNECTED"

    def lowered(headers):
        return {name.lower(): value for name, value in headers.items()}

    def fetch(url):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return {"status": answer.status, "headers": lowered(answer.headers), "body": answer.read().decode()}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "headers": lowered(error.headers), "body": error.read().decode()}

    def through_gate(url):
        gate = http.client.HTTPConnection("127.0.0.1", 3128, timeout=10)
        gate.request("GET", url)
        return gate.getresponse().status

    print(json.dumps(eval(sys.argv[1])))
""")


def ask(stack: Stack, name: str, expression: str) -> Any:
    """What a Python expression comes to inside a sandbox; it may use `connect`, `fetch` and `through_gate`."""
    done = stack.stockade("sandbox", "exec", name, "--", "python3", "-c", PROBE, expression)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_is_no_interface_but_lo(stack: Stack) -> None:
    with stack.sandbox("wall-lo") as name:
        assert ask(stack, name, "[i[1] for i in socket.if_nameindex()]") == ["lo"]


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "10.0.0.1", "192.168.0.1", "172.17.0.1", "169.254.169.254", "2606:4700:4700::1111"]
)
def test_a_raw_connection_goes_nowhere(stack: Stack, address: str) -> None:
    with stack.sandbox("wall-raw") as name:
        assert ask(stack, name, f"connect({address!r})") == "OSError"


def test_the_host_is_out_of_reach(stack: Stack) -> None:
    """The origin listens on a loopback address of the host; the same address inside is the sandbox's own."""
    address = stack.origin.endpoint.rpartition(":")[0]
    with stack.sandbox("wall-host") as name:
        before = stack.origin.connections
        ask(stack, name, f"connect({address!r})")
        assert ask(stack, name, f"connect({address!r}, 8080)") == "ConnectionRefusedError"
        assert stack.origin.connections == before


def test_another_sandbox_is_out_of_reach(stack: Stack) -> None:
    listen = "import socket,time; s=socket.create_server(('0.0.0.0', 7777)); print('up', flush=True); time.sleep(30)"
    with stack.sandbox("wall-one") as one, stack.sandbox("wall-two") as other:
        serving = f"python3 -c {json.dumps(listen)} >/dev/null 2>&1 & sleep 1"
        assert stack.stockade("sandbox", "exec", other, "--", "sh", "-c", serving).returncode == 0
        assert ask(stack, other, "connect('127.0.0.1', 7777)") == "CONNECTED"
        assert ask(stack, one, "connect('127.0.0.1', 7777)") == "ConnectionRefusedError"
        assert ask(stack, one, f"os.path.exists('/run/stockade/../{other}')") is False


def test_an_allowed_name_answers_and_is_recorded_with_its_outcome(stack: Stack) -> None:
    with stack.sandbox("wall-allowed") as name:
        assert ask(stack, name, f"fetch('http://{ALLOWED}/')")["status"] == 200
    allowed, outcome = [e for e in stack.entries("wall-allowed") if e.get("domain") == ALLOWED]
    assert (allowed["action"], outcome["action"]) == ("ALLOWED", "OUTCOME")
    assert allowed["rule"] == f"allowed_domains:{ALLOWED}"
    assert outcome["intent_id"] == allowed["id"]
    assert str(outcome["status"]) == "200"


def test_a_refused_name_is_told_why_and_recorded(stack: Stack) -> None:
    with stack.sandbox("wall-refused") as name:
        answer = ask(stack, name, f"fetch('http://{REFUSED}/')")
    assert answer["status"] == 403
    told = json.loads(answer["body"])
    assert (told["verdict"], told["rule"]) == ("BLOCKED", "block_unknown_domains")
    assert REFUSED in told["reason"]
    (entry,) = stack.entries("wall-refused", action="blocked")
    assert entry["id"] == told["decision"]
    assert (entry["domain"], entry["rule"]) == (REFUSED, "block_unknown_domains")


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "127.0.0.1", "1.1.1.1", "[::1]", "0x7f.1"])
def test_an_address_asked_for_through_the_gate_is_refused_and_recorded(stack: Stack, address: str) -> None:
    agent = f"wall-{''.join(c if c.isalnum() else '-' for c in address).strip('-')}"
    with stack.sandbox(agent) as name:
        assert ask(stack, name, f"through_gate('http://{address}/')") == 403
    assert [e["action"] for e in stack.entries(agent, action="blocked")] == ["BLOCKED"]


def test_of_eleven_requests_at_once_the_last_is_limited(stack: Stack) -> None:
    """A burst of 10 that refills once a minute: for the length of this test the refill stands still."""
    with (
        stack.policy("retry-handler", ALLOWED, requests_per_minute=1, burst_size=10),
        stack.sandbox("wall-eleven", "retry-handler") as name,
    ):
        answers = ask(stack, name, f"[fetch('http://{ALLOWED}/') for _ in range(11)]")
    assert [answer["status"] for answer in answers] == [200] * 10 + [429]
    assert int(answers[-1]["headers"]["retry-after"]) >= 1
    assert len(stack.entries("wall-eleven", action="allowed")) == 10
    (limited,) = stack.entries("wall-eleven", action="rate_limited")
    assert limited["domain"] == ALLOWED


HOLD = """
import json, socket, ssl, sys, time

def tunnel(name):
    gate = socket.create_connection(("127.0.0.1", 3128), 10)
    gate.sendall(f"CONNECT {name}:443 HTTP/1.1\\r\\nHost: {name}:443\\r\\n\\r\\n".encode())
    status = int(gate.recv(65536).split(b" ")[1])
    return status, gate if status != 200 else context.wrap_socket(gate, server_hostname=name)

def closed(open_tunnel):
    try:
        open_tunnel.recv(1)
    except OSError:
        pass
    return time.time()

context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
held = [tunnel(name)[1] for name in sys.argv[1:]]
print("open", flush=True)
print(json.dumps({"closed": [closed(each) for each in held], "again": [tunnel(name)[0] for name in sys.argv[1:]]}))
"""


def test_what_a_policy_loses_is_cut_and_what_it_keeps_connects_again(stack: Stack) -> None:
    stack.zone.names["ok.test"] = [stack.outside.ok.address]
    agent_type = "coverage-gap-analyzer"
    with stack.policy(agent_type, ALLOWED, "ok.test"), stack.sandbox("wall-cut", agent_type) as name:
        holding = stack.begin("sandbox", "exec", name, "--", "python3", "-c", HOLD, ALLOWED, "ok.test")
        assert holding.stdout
        assert holding.stdout.readline() == "open\n"
        assert stack.stockade("policy", "revoke", agent_type, "ok.test").returncode == 0
        revoked = time.time()
        told = json.loads(holding.communicate(timeout=60)[0])
    assert max(told["closed"]) - revoked < 1.0
    assert told["again"] == [200, 403]
