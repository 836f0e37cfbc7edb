"""A real Redis Cluster of three masters, with replicas if wanted, on free ports of loopback."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

MASTERS = 3


class RedisCluster:
    """A running cluster: the URL of one of its nodes, and the processes of all."""

    def __init__(self, ports: list[int], processes: list[subprocess.Popen[bytes]]) -> None:
        self.ports, self.processes = ports, processes
        self.url = f"redis://127.0.0.1:{ports[0]}"

    def master_of(self, key: str) -> "subprocess.Popen[bytes]":
        """The process that has a key's slot now."""
        with redis.RedisCluster.from_url(self.url) as client:
            node = client.get_node_from_key(key)
            assert node is not None
            return self.processes[self.ports.index(int(node.port))]

    def empty(self) -> None:
        """Forgets everything it holds."""
        for port in self.ports:
            with redis.Redis(port=port) as client:
                client.flushall()


@contextmanager
def redis_cluster(directory: Path, *, replicas: int = 0, node_timeout_ms: int = 15_000) -> Iterator[RedisCluster]:
    """A cluster that lives as long as the block. `replicas` are for each master."""
    ports = _free_ports(MASTERS * (1 + replicas))
    with ExitStack() as exits:
        processes = [_start(directory / str(port), port, node_timeout_ms) for port in ports]
        for process in processes:
            exits.callback(process.wait)
            exits.callback(process.kill)
        _wait(lambda: all(_ping(port) for port in ports))
        addresses = [f"127.0.0.1:{port}" for port in ports]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", str(replicas), "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=30)
        _wait(lambda: all("cluster_state:ok" in _info(port) for port in ports))
        _wait(lambda: all(_in_step(port) for port in ports))
        yield RedisCluster(ports, processes)


def _start(directory: Path, port: int, node_timeout_ms: int) -> subprocess.Popen[bytes]:
    directory.mkdir()
    told = {
        "--port": port,
        "--bind": "127.0.0.1",
        "--cluster-enabled": "yes",
        "--cluster-node-timeout": node_timeout_ms,
        "--save": "",
        "--dir": directory,
    }
    command = ["redis-server", *(str(word) for pair in told.items() for word in pair)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _free_ports(count: int) -> list[int]:
    """Ports whose cluster bus, 10,000 further, is a port too."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port < 55_000:
                found.append(port)
    return found


def _ping(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _in_step(port: int) -> bool:
    """Whether a replica has all that its master has; true of a master."""
    with redis.Redis(port=port) as client:
        return client.info("replication").get("master_link_status", "up") == "up"


def _info(port: int) -> str:
    command = ["redis-cli", "-p", str(port), "cluster", "info"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError("the cluster did not come up")
        time.sleep(0.05)
