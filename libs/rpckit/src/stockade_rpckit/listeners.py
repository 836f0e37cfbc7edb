"""Where a service listens: locally, a Unix socket per kind of principal, in a directory that only that kind can enter.

run_dir/operators/<person>/sandbox.sock     an operator, by name
run_dir/auditors/<person>/sandbox.sock      an auditor, by name
run_dir/services/sandbox.sock               another service
run_dir/gate/sandbox.sock                   agents, as the gate's doors name them

Beside each but the last lies sandbox.metrics.sock, where metrics are read by HTTP.

In a mesh, by settings, there is a port for whoever holds a certificate, or this for the sidecar that has it:

run_dir/sidecar/sandbox.sock                whom the sidecar saw
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from stockade_rpckit import identity, sockets
from stockade_rpckit.certificates import CertificatesUnusable, Files, ServerCertificates
from stockade_rpckit.identity import Authenticate, Principal, PrincipalKind
from stockade_rpckit.mesh import Mesh
from stockade_rpckit.placements import Placements
from stockade_rpckit.settings import ServiceSettings, refuse

SOCKET_PATH_BYTES = 107
"""unix(7): sun_path is 108 bytes with its closing NUL."""


@dataclass(frozen=True)
class Listener:
    """A socket and how it proves who calls."""

    path: Path
    authenticate: Authenticate
    metrics: Path | None = None
    """Where whoever may enter reads the service's metrics; None where agents enter."""

    @property
    def options(self) -> Sequence[tuple[str, int]]:
        """What its server is told beside what every server is."""
        return ()

    def claim(self) -> None:
        """Make the path free to bind, or end the process with one line that says why it is not."""
        if len(os.fsencode(longest := self.metrics or self.path)) > SOCKET_PATH_BYTES:
            refuse(
                f"{longest} is longer than the {SOCKET_PATH_BYTES} bytes of a socket's path; choose a shorter run_dir"
            )
        if sockets.answers(self.path):
            refuse(f"{self.path} is already served by another process; stop it, or choose another run_dir")
        self.remove()

    def bind(self, server: grpc.aio.Server) -> None:
        """Let `server` listen here when it starts."""
        server.add_insecure_port(f"unix:{self.path}")

    def remove(self) -> None:
        """Take its sockets away."""
        for path in filter(None, (self.path, self.metrics)):
            path.unlink(missing_ok=True)

    def open_to_directory(self) -> None:
        """Let whoever can enter the directory connect: its mode is the gate, not the socket's."""
        sockets.open_to_directory(self.path)


@dataclass(frozen=True)
class TlsListener:
    """A port on which every caller shows a certificate."""

    address: str
    credentials: grpc.ServerCredentials
    authenticate: Authenticate
    connection_seconds: float
    metrics = None

    @property
    def path(self) -> str:
        """See `Listener`: where it is, for the log."""
        return self.address

    @property
    def options(self) -> Sequence[tuple[str, int]]:
        """See `Listener`. Without an age, a certificate that expired would call for as long as it stays connected."""
        return (("grpc.max_connection_age_ms", int(self.connection_seconds * 1000)),)

    def claim(self) -> None:
        """See `Listener`: a port is claimed when it is bound."""

    def bind(self, server: grpc.aio.Server) -> None:
        """See `Listener`. Ends the process with one line where the address cannot be had."""
        try:
            server.add_secure_port(self.address, self.credentials)
        except RuntimeError:
            refuse(
                f"{self.address} cannot be listened on: is it taken, or no host:port of this machine? choose another"
            )

    def remove(self) -> None:
        """See `Listener`: a port goes with its process."""

    def open_to_directory(self) -> None:
        """See `Listener`: whoever reaches it may knock."""


def listeners(run_dir: Path, short_name: str) -> Iterator[Listener]:
    """The listeners of a service, by the directories that exist under `run_dir`."""
    name, metrics = f"{short_name}.sock", f"{short_name}.metrics.sock"
    for kind in (PrincipalKind.OPERATOR, PrincipalKind.AUDITOR):
        for directory in sorted(run_dir.glob(f"{kind}s/*/")):
            yield Listener(directory / name, identity.always(Principal(kind, directory.name)), directory / metrics)
    if (services := run_dir / "services").is_dir():
        # Which service calls is not told apart: they share one trust.
        one = identity.always(Principal(PrincipalKind.SERVICE, "stockade"))
        yield Listener(services / name, one, services / metrics)
    if (run_dir / "gate").is_dir():
        yield Listener(run_dir / "gate" / name, identity.from_gate)


def mesh_listeners(settings: ServiceSettings, short_name: str) -> Iterator[Listener | TlsListener]:
    """The listeners that the settings ask for. Ends the process with one line for settings nobody can serve."""
    prefix = f"STOCKADE_{short_name.upper()}"
    if not settings.in_mesh:
        return
    mesh = Mesh(settings.trust_domain, _placements(settings.registry_url, prefix))
    if settings.listen:
        credentials = _certificates(settings, prefix).credentials()
        yield TlsListener(settings.listen, credentials, mesh.by_certificate, settings.connection_seconds)
    if settings.sidecar_id:
        directory = settings.run_dir / "sidecar"
        _check_sidecars(directory, prefix)
        yield Listener(directory / f"{short_name}.sock", mesh.by_sidecar(settings.sidecar_id))


def _placements(url: str, prefix: str) -> Placements | None:
    try:
        return Placements.at(url) if url else None
    except ValueError:
        refuse(f"{prefix}_REGISTRY_URL is no redis://, rediss:// or unix:// address; mend it")


def _certificates(settings: ServiceSettings, prefix: str) -> ServerCertificates:
    given = {"CERT": settings.tls_cert, "KEY": settings.tls_key, "CA": settings.tls_ca}
    if missing := [f"{prefix}_TLS_{name}" for name, path in given.items() if not path]:
        refuse(f"{prefix}_LISTEN is served with certificates only; set {', '.join(missing)} too")
    try:
        return ServerCertificates(Files(*map(Path, given.values())))
    except CertificatesUnusable as error:
        refuse(str(error))


def _check_sidecars(directory: Path, prefix: str) -> None:
    """Who enters there is believed whatever he says of others."""
    if not directory.is_dir():
        refuse(f"{prefix}_SIDECAR_ID is set and {directory} is not there; make it, for the sidecar alone to enter")
    if directory.stat().st_mode & 0o007:
        refuse(f"{directory} can be entered by anyone, who could call himself whoever he likes; chmod o= it")
