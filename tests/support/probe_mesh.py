"""The probe in a mesh: a port for certificates, a sidecar's socket, a registry, an authority and a foreign one."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import redis
from stockade_rpckit import placements
from stockade_rpckit.errors import details_of
from stockade_rpckit.placements import Placement

from conformance.certificates import Authority
from support.journals import leaves
from support.probe import messages
from support.probe_process import ProbeProcess
from support.redis_server import RedisServer, redis_server

NO_CALL = "no call comes of it"


def spiffe(path: str) -> str:
    """The SPIFFE id with this path."""
    return f"spiffe://stockade/{path}"


OURS = spiffe("node/node-1")


@dataclass
class Mesh:
    """What runs, and how to reach it."""

    place: Path
    process: ProbeProcess
    port: int
    files: dict[str, str]
    authority: Authority
    foreign: Authority
    registry: RedisServer

    def place_sandbox(self, sandbox: str, placement: Placement) -> None:
        """As its node does."""
        with redis.Redis.from_url(self.registry.url) as client, client.pipeline() as pipeline:
            placements.place(pipeline, sandbox, placement)
            pipeline.execute()

    def who(self, stub: Any, *metadata: tuple[str, str]) -> str:
        """Who the service says calls; the reason where it refuses, or NO_CALL."""
        try:
            return str(stub.Who(messages.Ask(name="x"), metadata=metadata, timeout=5).text)
        except grpc.RpcError as error:
            return str(details_of(error).get("reason", NO_CALL))

    def by_certificate(self, *uris: str, authority: Authority | None = None, **options: Any) -> grpc.Channel:
        """A channel to the port, with a certificate for these URIs."""
        pair = (authority or self.authority).issue("client", *uris, **options)
        return self.channel(pair["key"], pair["cert"])

    def channel(self, key: str = "", cert: str = "") -> grpc.Channel:
        """The same with these files, or none."""
        return grpc.secure_channel(f"localhost:{self.port}", self.credentials(key, cert))

    def credentials(self, key: str = "", cert: str = "") -> grpc.ChannelCredentials:
        """Of a client with these files, or none."""
        files = (Path(file).read_bytes() if file else None for file in (self.authority.file, key, cert))
        return grpc.ssl_channel_credentials(*files)

    def socket(self, directory: str) -> grpc.Channel:
        """A channel to the socket in a directory."""
        return grpc.insecure_channel(f"unix:{self.place}/run/{directory}/probe.sock")

    def entries(self) -> list[dict[str, Any]]:
        """The record, after the end."""
        assert self.process.end()[0] == 0
        return leaves(self.place / "journals" / "probe-0")


@contextmanager
def probe_mesh(place: Path, **settings: str) -> Iterator[Mesh]:
    """All of it, for as long as the block."""
    directories(place)
    authority = Authority.new(place / "tls", "ca")
    files = served_files(authority)
    address = f"127.0.0.1:{free_port()}"
    with redis_server(place) as registry:
        more = {"listen": address, "sidecar_id": OURS, "registry_url": registry.url}
        process = ProbeProcess(place / "run", place / "journals", **more, **files, **settings)
        try:
            process.serving().close()
            port = int(address.rpartition(":")[2])
            foreign = Authority.new(place / "tls", "foreign")
            yield Mesh(place, process, port, files, authority, foreign, registry)
        finally:
            process.process.kill()
            process.process.wait()


def directories(place: Path) -> None:
    """Those of a service in a mesh, and one for certificates."""
    for directory in ("run/operators/ada", "run/services", "run/gate", "run/sidecar", "tls"):
        (place / directory).mkdir(parents=True)
    (place / "run/sidecar").chmod(0o750)


def served_files(authority: Authority) -> dict[str, str]:
    """A service's settings for a certificate of its own."""
    pair, believed = authority.issue("server", OURS), authority.place / "believed.pem"
    shutil.copy(authority.file, believed)
    return {"tls_cert": pair["cert"], "tls_key": pair["key"], "tls_ca": str(believed)}


def free_port() -> int:
    """One of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
