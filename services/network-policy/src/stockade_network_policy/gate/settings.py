"""What the gate can be told: variables `STOCKADE_GATE_<FIELD>`."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stockade_rpckit.settings import refuse

PREFIX = "STOCKADE_GATE"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address and a port."""

    address: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Reads `192.0.2.1:80` or `[2001:db8::1]:80`. Raises ValueError."""
        address, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is no address:port")
        return cls(str(ipaddress.ip_address(address.strip("[]"))), int(port))

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """Where the gate's sockets are, what it may reach, and how much one sandbox may ask of it."""

    run_dir: Path = Path("/run/stockade")
    """Directory of the sockets, the services' own."""
    envoy: Path = Path("envoy")
    """Envoy's binary, 1.40 or newer."""
    user: str = "stockade-gate"
    """User that Envoy runs as where the stack is started as root; nftables holds that user to public addresses."""
    production: bool = True
    """Refuse to start with exceptions."""
    exceptions: tuple[str, ...] = ()
    """Upstreams on refused addresses that may be reached all the same, each an exact `address:port`."""
    denied_addresses: tuple[str, ...] = ()
    """Networks refused beside the special-purpose ones and the host's own addresses, as CIDR."""
    resolvers: tuple[str, ...] = ()
    """DNS servers as `address:port`; none: those of /etc/resolv.conf."""
    otlp_socket: Path = Path()
    """Where Envoy sends its spans by OTLP; none: `gate/spans.sock` of run_dir."""
    workers: int = 0
    """Envoy's worker threads; 0: one a core."""
    requests_per_second: int = 100
    """Requests of one sandbox that reach the judge; the rest get 429 from Envoy itself."""
    connections_per_second: int = 200
    """New connections of one sandbox's door."""
    connections: int = 256
    """Open connections of one sandbox's door."""
    api_requests_per_second: int = 2000
    """Calls of one sandbox to Stockade's own services."""
    tunnel_seconds: int = 3600
    """How long a tunnel lives at most."""
    tunnel_idle_seconds: int = 300
    """How long a tunnel may carry nothing."""
    judge_milliseconds: int = 1000
    """How long a judgement may take before the request is refused with 503."""
    trace_percent: int = 0
    """Share of the requests without a trace that begin one; those that bring one are always traced."""
    request_megabytes: int = 256
    """What one plain request may announce to send; in all, a policy's `bytes_per_hour` bounds it."""
    heap_megabytes: int = 1024
    """Envoy's heap at which it stops taking requests."""

    def __post_init__(self) -> None:
        if self.production and self.exceptions:
            refuse(
                f"{PREFIX}_EXCEPTIONS lets agents reach private addresses and is refused in production; remove it, or "
                f"set {PREFIX}_PRODUCTION=false on a machine that is not"
            )
        _check("exceptions", self.exceptions, Endpoint.parse)
        _check("resolvers", self.resolvers, Endpoint.parse)
        _check("denied_addresses", self.denied_addresses, ipaddress.ip_network)

    @property
    def gate_dir(self) -> Path:
        """The directory that only Envoy and the services enter."""
        return self.run_dir / "gate"

    @property
    def config(self) -> Path:
        """Where the stack writes the rendered configuration for Envoy."""
        return self.gate_dir / "envoy.yaml"

    @property
    def otlp(self) -> Path:
        """Where Envoy sends its spans."""
        return self.otlp_socket if self.otlp_socket.name else self.run_dir / "gate" / "spans.sock"

    @property
    def exception_endpoints(self) -> tuple[Endpoint, ...]:
        """`exceptions`, read."""
        return tuple(Endpoint.parse(text) for text in self.exceptions)


def _check(field: str, texts: tuple[str, ...], read: Callable[[str], object]) -> None:
    for text in texts:
        try:
            read(text)
        except ValueError as error:
            refuse(f"{PREFIX}_{field.upper()}: {error}")
