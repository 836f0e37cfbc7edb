"""A real Redis of the test's own, on a Unix socket; where a test has hosts, on a port of one of them too."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis


class RedisServer:
    """A running redis-server: its URL, and its process to freeze or kill."""

    def __init__(self, directory: Path, prefix: Sequence[str] = (), **options: str) -> None:
        """`prefix` is a command that starts it elsewhere; `options` stand over those here."""
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        told = {"port": "0", "unixsocket": str(self.socket), "save": "", "dir": str(directory), **options}
        self._command = [*prefix, "redis-server", *(word for name in told for word in (f"--{name}", told[name]))]
        self.start()

    def start(self) -> None:
        """Starts it, or starts it again after a kill: empty, unless its options have it keep what it holds."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        client = redis.Redis(unix_socket_path=str(self.socket))
        for _ in range(500):
            try:
                client.ping()
                break
            except redis.RedisError:
                time.sleep(0.01)
        client.close()

    def empty(self) -> None:
        """Forgets everything it holds."""
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.flushall()

    def stop(self) -> None:
        """Ends it for good."""
        self.process.kill()
        self.process.wait()


@contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    """A server that lives as long as the block."""
    server = RedisServer(directory)
    try:
        yield server
    finally:
        server.stop()
