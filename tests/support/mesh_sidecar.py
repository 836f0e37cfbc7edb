"""A stock Envoy beside a node's services or their clients, as deploy/envoy configures it, under an id of its own."""

import asyncio
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stockade_cli.stack.health import gate_probe

from support.authority import Authority
from support.gate import ENVOY
from support.mesh_network import Host

CONFIGURE = Path(__file__).parents[2] / "deploy/envoy/sidecar"
PORT = 9443
TRUST_DOMAIN = "stockade"


def spiffe(path: str) -> str:
    """The SPIFFE id of `node/a` and the like."""
    return f"spiffe://{TRUST_DOMAIN}/{path}"


@dataclass
class Sidecar:
    """An Envoy on a host. `identity` is the path of its SPIFFE id; `options` are those of deploy/envoy/sidecar."""

    directory: Path
    host: Host
    identity: str
    authority: Authority
    options: Sequence[str | Path]
    process: "subprocess.Popen[bytes] | None" = None

    def configure(self) -> None:
        """Write its configuration and its first certificate."""
        name = self.identity.rpartition("/")[2]
        words = (self.directory, "--name", name, "--tls", self.rotate(), "--trust-domain", TRUST_DOMAIN)
        subprocess.run([CONFIGURE, *words, *self.options], check=True)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command = (ENVOY, "-c", self.directory / "envoy.yaml", "--disable-hot-restart", "--concurrency", "1")
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.host.inside(*command, "--log-level", "warning"), stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while not asyncio.run(self._ready()):
            assert self.process.poll() is None, (self.directory / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"the sidecar of {self.identity} is not ready"
            time.sleep(0.05)

    async def _ready(self) -> bool:
        return await gate_probe(self.directory / "admin.sock")()

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def rotate(self) -> Path:
        """Put a new certificate in the place of the one it has; returns the directory of both."""
        return self.authority.directory(self.directory.name, spiffe(self.identity))
