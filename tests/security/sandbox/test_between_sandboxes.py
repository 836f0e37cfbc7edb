"""From one sandbox to another, or to the services and engines of the host, there is no path."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from stockade.sandbox.v1 import exec_service_pb2

from support.engine import EngineInUse
from support.sandbox_service import Caller
from support.stack import Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

PORT, KEY = 9100, 0x5701
OFFER = f"""
import ctypes, fcntl, http.server, os, signal, socket, threading, time
libc = ctypes.CDLL(None)
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b"met")
    do_CONNECT = do_GET
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", {PORT}), Hello)
threading.Thread(target=server.serve_forever, daemon=True).start()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagrams.bind(("0.0.0.0", {PORT}))
abstract = socket.socket(socket.AF_UNIX); abstract.bind("\\0meet"); abstract.listen()
for place in ("/tmp", "/dev/shm", "/workspace"): open(place + "/meet", "w").close()
libc.shmget({KEY}, 4096, 0o1666); libc.msgget({KEY}, 0o1666); libc.semget({KEY}, 1, 0o1666)
print("ready", flush=True)
time.sleep(600)
"""
"""Everything that one sandbox can hold out for another to find."""

TOOLS = """
import ctypes, os, socket
libc = ctypes.CDLL(None)
def connects(family, address, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind); s.settimeout(2)
    try: s.connect(address); return True
    except OSError: return False
def fetches(*lines):
    s = socket.create_connection(("127.0.0.1", 3128), 5); s.settimeout(5)
    s.sendall("\\r\\n".join([*lines, "", ""]).encode())
    try: answer = s.recv(4096)
    except OSError: return False
    return b" 200 " in answer.split(b"\\r\\n")[0] or b"met" in answer
def lives(number):
    try: os.kill(number, 0); return True
    except ProcessLookupError: return False
def processes():
    return [open(f"/proc/{p}/cmdline", "rb").read() for p in os.listdir("/proc") if p.isdigit()]
"""

ATTEMPTS = {
    "a port on its own loopback": f"connects(socket.AF_INET, ('127.0.0.1', {PORT}))",
    "a port by the other's name": f"connects(socket.AF_INET, ('{{name}}', {PORT}))",
    "a port of the host": f"any(connects(socket.AF_INET, (a, {PORT})) for a in {{addresses}})",
    "the other's name through the gate": f"fetches('GET http://{{name}}:{PORT}/ HTTP/1.1', 'Host: {{name}}:{PORT}')",
    "a tunnel to the other's name": f"fetches('CONNECT {{name}}:{PORT} HTTP/1.1', 'Host: {{name}}:{PORT}')",
    "loopback through the gate": f"fetches('GET http://127.0.0.1:{PORT}/ HTTP/1.1', 'Host: 127.0.0.1:{PORT}')",
    "Envoy's admin through the gate": "fetches('GET http://127.0.0.1:9901/stats HTTP/1.1', 'Host: 127.0.0.1:9901')",
    "an abstract socket": "connects(socket.AF_UNIX, '\\0meet')",
    "a file in /tmp": "os.path.exists('/tmp/meet')",
    "a file in /dev/shm": "os.path.exists('/dev/shm/meet')",
    "a file in /workspace": "os.path.exists('/workspace/meet')",
    "shared memory by its key": f"libc.shmget({KEY}, 4096, 0) != -1",
    "a message queue by its key": f"libc.msgget({KEY}, 0) != -1",
    "a semaphore by its key": f"libc.semget({KEY}, 1, 0) != -1",
    "a process of the other": "any(b'datagrams' + b'.bind' in line for line in processes())",
    "a signal by the host's number": "any(lives(pid) for pid in {pids})",
    "a socket of the host by its path": "any(connects(socket.AF_UNIX, path) for path in {sockets})",
    "another's sockets": "any(n.startswith('sb-') for d in ('/run', '/run/stockade') for n in os.listdir(d))",
    "Docker's socket": "any(connects(socket.AF_UNIX, p) for p in ('/run/docker.sock', '/var/run/docker.sock'))",
}
"""What the other tries; true where it got through."""

OF_ITS_OWN = {
    "a port on its own loopback",
    "an abstract socket",
    "a file in /tmp",
    "a file in /dev/shm",
    "a file in /workspace",
    "shared memory by its key",
    "a message queue by its key",
    "a semaphore by its key",
    "a process of the other",
}
"""What the one that holds it out does get: else the attempts would prove nothing."""


@dataclass(frozen=True)
class Two:
    """Two gated sandboxes of different agents. The first holds out what it can."""

    ada: Caller
    one: str
    other: str

    def tries(self, name: str, attempts: dict[str, str]) -> dict[str, bool]:
        """Which attempts get through from a sandbox."""
        tried = ",".join(f"{what!r}: {attempt}" for what, attempt in attempts.items())
        told = self.ada.python(name, f"{TOOLS}\nimport json\nprint(json.dumps({{{tried}}}))")
        return dict(json.loads(told))


@pytest.fixture(scope="module")
def two(stack: Stack) -> Iterator[Two]:
    person = next((stack.run_dir / "operators").iterdir())
    ada = Caller(person / "sandbox.sock")
    wanted = {"agent_type": "test-generator", "network_mode": "NETWORK_MODE_WHITELISTED"}
    one, other = (ada.create(agent=agent, **wanted).name for agent in ("meets-1", "meets-2"))
    start = {"sandbox": one, "command": {"args": ("python3", "-c", OFFER)}, "no_stdin": True}
    offering = ada.execs.Exec(iter([exec_service_pb2.ExecRequest(start=start)]))
    assert next(event.stdout.data for event in offering if event.HasField("stdout")) == b"ready\n"
    yield Two(ada, one, other)
    offering.cancel()
    ada.delete(one)
    ada.delete(other)
    ada.channel.close()


@pytest.fixture(scope="module")
def attempts(two: Two, stack: Stack, engine: EngineInUse) -> dict[str, str]:
    """The attempts, with what they aim at filled in."""
    pids = [int(pid) for pid in engine.docker("top", two.one, "-o", "pid").split()[1:]]
    sockets = [str(path) for path in stack.run_dir.rglob("*.sock")] + [engine.address.removeprefix("unix://")]
    services = {f"services/{name}.sock" for name in ("sandbox", "policy", "cache", "audit")}
    assert services | {"gate/admin.sock", "gate/judge.sock"} <= {"/".join(Path(path).parts[-2:]) for path in sockets}
    facts = {"name": two.one, "pids": pids, "sockets": sockets, "addresses": _addresses_of_host()}
    return {what: attempt.format(**facts) for what, attempt in ATTEMPTS.items()}


def test_no_attempt_gets_through(two: Two, attempts: dict[str, str]) -> None:
    assert two.tries(two.other, attempts) == dict.fromkeys(attempts, False)


def test_the_attempts_are_able_to_get_through(two: Two, attempts: dict[str, str]) -> None:
    own = {what: attempts[what] for what in OF_ITS_OWN}
    assert two.tries(two.one, own) == dict.fromkeys(own, True)


def test_no_datagram_arrives(two: Two) -> None:
    send = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for address in {[two.one, "127.0.0.1", *_addresses_of_host()]!r}:
    try: s.sendto(b"met", (address, {PORT}))
    except OSError: pass
"""
    two.ada.python(two.other, send)
    time.sleep(0.2)
    queued = two.ada.run(two.one, "cat", "/proc/net/udp").stdout.decode()
    (line,) = [line.split() for line in queued.splitlines() if f":{PORT:04X}" in line]
    assert line[4] == "00000000:00000000", "transmit and receive queues in bytes"


def _addresses_of_host() -> list[str]:
    """IPv4 addresses of the host beside loopback (proc(5), fib_trie)."""
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    hosts = {lines[n - 1].split()[-1] for n, line in enumerate(lines) if "/32 host LOCAL" in line}
    return sorted(address for address in hosts if not address.startswith("127.")) or ["192.0.2.2"]
