"""A real Redis Cluster of three masters, on free ports of loopback."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

NODES = 3


class RedisCluster:
    """A running cluster: the URL of one of its nodes, and the processes of all."""

    def __init__(self, ports: list[int], processes: list[subprocess.Popen[bytes]]) -> None:
        self.ports, self.processes = ports, processes
        self.url = f"redis://127.0.0.1:{ports[0]}"

    def empty(self) -> None:
        """Forgets everything it holds."""
        for port in self.ports:
            with redis.Redis(port=port) as client:
                client.flushall()


@contextmanager
def redis_cluster(directory: Path) -> Iterator[RedisCluster]:
    """A cluster that lives as long as the block."""
    ports = _free_ports()
    with ExitStack() as exits:
        processes = [_start(directory / str(port), port) for port in ports]
        for process in processes:
            exits.callback(process.wait)
            exits.callback(process.kill)
        _wait(lambda: all(_ping(port) for port in ports))
        addresses = [f"127.0.0.1:{port}" for port in ports]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=30)
        _wait(lambda: all("cluster_state:ok" in _info(port) for port in ports))
        yield RedisCluster(ports, processes)


def _start(directory: Path, port: int) -> subprocess.Popen[bytes]:
    directory.mkdir()
    told = {"--port": port, "--bind": "127.0.0.1", "--cluster-enabled": "yes", "--save": "", "--dir": directory}
    command = ["redis-server", *(str(word) for pair in told.items() for word in pair)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _free_ports() -> list[int]:
    """Ports whose cluster bus, 10,000 further, is a port too."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < NODES:
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


def _info(port: int) -> str:
    command = ["redis-cli", "-p", str(port), "cluster", "info"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError("the cluster did not come up")
        time.sleep(0.05)
