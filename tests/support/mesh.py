"""A real mesh for tests: three nodes, their stores, the world and a client, each a host of its own.

| host | what runs there |
| --- | --- |
| a, b, c | a whole stack each, behind a stock Envoy, id node/<name>; its sandbox service has a port of its own too |
| store | Redis and PostgreSQL, which the nodes share |
| world | what the gates can reach, and their name server |
| auditors | nothing, until a test starts it |
| client | a stock Envoy, id operator/ana; the tests' programs reach it by a Unix socket |

`mesh` is one for the session; what a test does to it, it undoes.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stockade.sandbox.v1 import (
    node_service_pb2,
    node_service_pb2_grpc,
    sandbox_pb2,
    sandbox_service_pb2,
    sandbox_service_pb2_grpc,
)
from stockade_cli.stack.record import Lock, StackRecord

from support import otlp
from support.authority import Authority
from support.mesh_client import NODE, standard, ways
from support.mesh_network import Host, network
from support.mesh_sidecar import PORT, Sidecar, spiffe
from support.mesh_stores import Stores, stores
from support.release import SUPERVISOR, TODAY, Release
from support.stack import Stack, placed_stack, short_directory, world

NODES = ("a", "b", "c")
OPERATOR = "operator/ana"
OWN_PORT = 9450
AWAY_SHARE = 0.3
"""How much of each limit a node lets pass by itself while Redis is away."""
SANDBOX_UIDS = 10_000
MIGRATING = ("stockade-auditd", "stockade-network-policy")
_PARTS = {
    "policy": ("limits", "policies"),
    "cache": ("stockade.embeddingcache.v1.EmbeddingCacheService/backend",),
    "sandbox": ("registry",),
}
_SERVICES = ("SANDBOX", "POLICY", "CACHE", "AUDIT")


@dataclass
class Node:
    """A host that runs a stack behind its sidecar."""

    host: Host
    stack: Stack
    sidecar: Sidecar

    @property
    def name(self) -> str:
        """As x-stockade-node has it."""
        return self.host.name

    @property
    def endpoint(self) -> str:
        """Where its sidecar listens."""
        return f"{self.host.address}:{PORT}"

    @property
    def ends(self) -> dict[str, tuple[str, int]]:
        """Where callers with a certificate reach it: its sidecar, and its sandbox service itself."""
        return {f"{self.name}-sidecar": (self.host.address, PORT), f"{self.name}-port": (self.host.address, OWN_PORT)}

    def migrate(self, program: str, *words: str, by: Release = TODAY) -> str:
        """Take the tables that all nodes share to a release's newest version, or as `words` say; what it said."""
        command = self.host.inside(by.program.with_name(program), "migrate", *words)
        done = subprocess.run(
            command, env=os.environ | self.stack.environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    def start(self) -> None:
        """The stack and the sidecar, up and serving."""
        done = self.stack.stockade("up")
        assert done.returncode == 0, done.stderr
        self.sidecar.start()

    def replace(self, release: Release) -> None:
        """End the stack in order, as systemd does, and start it as that release; its sandboxes go on."""
        holder = Lock(self.stack.run_dir).holder()
        assert holder is not None
        os.kill(holder, signal.SIGTERM)
        wait_for(lambda: Lock(self.stack.run_dir).holder() is None, 60, f"the stack of {self.name} has ended")
        environment = {**self.stack.environment, SUPERVISOR: str(release.supervisor)}
        self.stack = replace(self.stack, program=release.program, environment=environment)
        done = self.stack.stockade("up")
        assert done.returncode == 0, done.stderr

    def die(self) -> None:
        """The host loses its network and its power at once; its sandboxes' containers are left to be found again."""
        self.host.cut()
        self.host.kill()

    def come_back(self) -> None:
        """The host is there again, and starts what it ran."""
        self.host.join()
        self.start()

    def end(self) -> None:
        """Everything ends at once, and what it leaves is swept up: an end in order is for other tests."""
        self.host.kill()
        self.stack.stockade("down")

    def has_stores(self) -> bool:
        """Whether its services say that each store they share is there."""
        return all(self._serves(service, part) for service, parts in _PARTS.items() for part in parts)

    def _serves(self, service: str, part: str) -> bool:
        with grpc.insecure_channel(f"unix:{self.stack.run_dir}/services/{service}.sock") as channel:
            request = health_pb2.HealthCheckRequest(service=part)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def pid(self, process: str) -> int:
        """Of one process of the stack: audit, policy, gate, cache or sandbox."""
        record = StackRecord.read(self.stack.run_dir)
        assert record is not None
        return next(each.pid for each in record.processes if each.name == process and each.state == "serving")

    def restart(self, process: str) -> None:
        """End one process in order, and wait until its successor serves."""
        before = self.pid(process)
        os.kill(before, signal.SIGTERM)
        wait_for(lambda: self._pid(process) not in (None, before), 60, f"{process} of {self.name} serves again")

    def _pid(self, process: str) -> int | None:
        try:
            return self.pid(process)
        except StopIteration:
            return None


@dataclass
class Mesh:
    """All of it. `spans` has what all hosts' daemons and the client's sidecar export."""

    nodes: dict[str, Node]
    auditors: Host
    stores: Stores
    client: Sidecar
    authority: Authority
    spans: otlp.Receiver

    @property
    def target(self) -> str:
        """Where the client's programs reach any service, as operator ana."""
        return f"unix:{self.client.directory}/out.sock"

    def way(self, node: str, end: str) -> str:
        """A target that leads from the client's host straight to a node's `sidecar` or its sandbox service's `port`."""
        return f"unix:{self.client.directory.parent}/{node}-{end}.sock"

    def sandboxes(self, agent: str) -> list[sandbox_pb2.Sandbox]:
        """An agent's that live, on all nodes."""
        wanted = sandbox_service_pb2.SandboxFilter(agent=agent)
        request = sandbox_service_pb2.ListSandboxesRequest(filter=wanted, page_size=1000)
        with standard(self.target) as channel:
            return list(sandbox_service_pb2_grpc.SandboxServiceStub(channel).ListSandboxes(request).sandboxes)

    def state(self, sandbox: str) -> int:
        """Of a sandbox, on whichever node."""
        request = sandbox_service_pb2.GetSandboxRequest(name=sandbox)
        with standard(self.target) as channel:
            return int(sandbox_service_pb2_grpc.SandboxServiceStub(channel).GetSandbox(request).sandbox.state)

    def node_state(self, node: str) -> int:
        """What the fleet has of a node; 0 while it is none of it."""
        with standard(self.target) as channel:
            service = node_service_pb2_grpc.NodeServiceStub(channel)
            nodes = service.ListNodes(node_service_pb2.ListNodesRequest()).nodes
        return next((int(each.state) for each in nodes if each.name == node), 0)

    def delete(self, sandboxes: Iterable[sandbox_pb2.Sandbox]) -> None:
        """End sandboxes, each on its node."""
        with standard(self.target) as channel, ThreadPoolExecutor(8) as threads:
            stub = sandbox_service_pb2_grpc.SandboxServiceStub(channel)

            def end(each: sandbox_pb2.Sandbox) -> None:
                request = sandbox_service_pb2.DeleteSandboxRequest(name=each.name)
                stub.DeleteSandbox(request, metadata=((NODE, each.node),))

            list(threads.map(end, sandboxes))

    @contextmanager
    def sandbox(self, agent: str, agent_type: str = "default", node: str = "") -> Iterator[str]:
        """A sandbox that lives as long as the block, on `node` where one is named; yields its name."""
        request = sandbox_service_pb2.CreateSandboxRequest(agent=agent, agent_type=agent_type)
        with standard(self.target) as channel:
            stub = sandbox_service_pb2_grpc.SandboxServiceStub(channel)
            made = stub.CreateSandbox(request, metadata=((NODE, node),) if node else ()).sandbox
        try:
            yield made.name
        finally:
            self.delete([made])


@pytest.fixture(scope="session")
def mesh() -> Iterator[Mesh]:
    """The session's mesh."""
    if os.geteuid() != 0:
        pytest.skip("a mesh needs network namespaces: run as root")
    with running_mesh() as running:
        yield running


@contextmanager
def running_mesh(**more: str) -> Iterator[Mesh]:
    """A mesh that serves, and of which nothing is left; `more` are further variables of every node's environment."""
    with ExitStack() as exits:
        place = exits.enter_context(short_directory())
        hosts = exits.enter_context(network(*NODES, "store", "auditors", "world", "client"))
        kept = exits.enter_context(stores(hosts["store"], place, "policies", "record"))
        spans = exits.enter_context(otlp.receiver(place / "spans.sock"))
        (place / "spans.sock").chmod(0o777)  # the nodes' daemons are not root
        authority = Authority.create(place / "tls")
        shared = {**_shared(kept), "STOCKADE_AUDIT_OTLP_ENDPOINT": spans.endpoint, **more}
        nodes = exits.enter_context(_nodes(hosts, authority, shared, place))
        outward = _outward(place / "client", nodes, spans)
        client = Sidecar(place / "client", hosts["client"], OPERATOR, authority, outward)
        client.configure()
        threads = exits.enter_context(ThreadPoolExecutor())
        exits.callback(lambda: list(threads.map(Node.end, nodes.values())))
        list(threads.map(nodes["a"].migrate, MIGRATING))
        list(threads.map(Node.start, nodes.values()))
        client.start()
        exits.callback(client.stop)
        ends = {name: end for node in nodes.values() for name, end in node.ends.items()}
        exits.enter_context(ways(hosts["client"], place, ends))
        yield Mesh(nodes, hosts["auditors"], kept, client, authority, spans)


@contextmanager
def _nodes(
    hosts: dict[str, Host], authority: Authority, shared: Mapping[str, str], place: Path
) -> Iterator[dict[str, Node]]:
    outer = [hosts["world"].add_address(f"10.77.1.{number}") for number in (1, 2, 3)]
    with world(outer, hosts["world"].address, hosts["world"].entered) as around, ExitStack() as exits:
        nodes = {}
        for number, host in enumerate(hosts[name] for name in NODES):
            tls = authority.directory(host.name, spiffe(f"node/{host.name}"))
            settings = {**shared, **_own(host, number, tls)}
            stack = exits.enter_context(placed_stack(around, host.inside(), **settings))
            spans = ("--spans", shared["STOCKADE_AUDIT_OTLP_ENDPOINT"])
            inward = ("--listen", f"{host.address}:{PORT}", "--run-dir", stack.run_dir, *spans)
            sidecar = Sidecar(place / host.name, host, f"node/{host.name}", authority, inward)
            sidecar.configure()
            exits.callback(sidecar.stop)
            nodes[host.name] = Node(host, stack, sidecar)
        yield nodes


def _outward(directory: Path, nodes: dict[str, Node], spans: otlp.Receiver) -> list[str]:
    peers = [word for node in nodes.values() for word in ("--peer", f"{node.name}={node.endpoint}")]
    return ["--out", f"unix:{directory}/out.sock", "--spans", spans.endpoint, *peers]


def _own(host: Host, number: int, tls: Path) -> dict[str, str]:
    """What a node of a mesh is told of itself."""
    sidecar = {f"STOCKADE_{service}_SIDECAR_ID": spiffe(f"node/{host.name}") for service in _SERVICES}
    return {
        **sidecar,
        "STOCKADE_AUDIT_NODE": host.name,
        "STOCKADE_SANDBOX_NODE": host.name,
        "STOCKADE_SANDBOX_UID_BASE": str(1_900_000_000 + number * SANDBOX_UIDS),
        "STOCKADE_SANDBOX_UID_COUNT": str(SANDBOX_UIDS),
        "STOCKADE_SANDBOX_LISTEN": f"{host.address}:{OWN_PORT}",
        "STOCKADE_SANDBOX_TLS_CERT": f"{tls}/tls.crt",
        "STOCKADE_SANDBOX_TLS_KEY": f"{tls}/tls.key",
        "STOCKADE_SANDBOX_TLS_CA": f"{tls}/ca.crt",
    }


def _shared(kept: Stores) -> dict[str, str]:
    """What all nodes of a mesh are told: which stores they share."""
    registry = {f"STOCKADE_{service}_REGISTRY_URL": kept.redis_url for service in _SERVICES}
    return {
        **registry,
        "STOCKADE_SANDBOX_WARM": "default:0",
        "STOCKADE_SANDBOX_SANDBOXES_PER_OWNER": "1000",
        "STOCKADE_POLICY_LIMITS": "redis",
        "STOCKADE_POLICY_REDIS_URL": kept.redis_url,
        "STOCKADE_POLICY_REDIS_AWAY": "local",
        "STOCKADE_POLICY_REDIS_AWAY_SHARE": str(AWAY_SHARE),
        "STOCKADE_POLICY_STORE": kept.postgres_url("policies"),
        "STOCKADE_CACHE_BACKEND": "redis",
        "STOCKADE_CACHE_REDIS_URL": kept.redis_url,
        "STOCKADE_AUDIT_SHIP_TO": kept.postgres_url("record"),
        "STOCKADE_AUDIT_WITNESS": kept.postgres_url("record"),
    }


def wait_for(condition: Callable[[], bool], within_s: float, what: str) -> float:
    """Seconds until a condition held; AssertionError when it does not in time."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within_s, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - begun
