"""What the command can be told: where the stack's sockets and its state are, and who its processes run as."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from stockade_agent.addresses import Tls

SERVICES = ("audit", "policy", "cache", "sandbox")
"""Short names, as they stand in socket paths; in the order in which they start."""


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """Read from STOCKADE_STACK_<FIELD>; `--run-dir` and `--state-dir` go before."""

    run_dir: Path = Path("/run/stockade")
    """Directory of the sockets; keep it short, a socket's path ends at 107 bytes."""
    state_dir: Path = Path("/var/lib/stockade")
    """Directory of what outlives a restart."""
    address: str = ""
    """Where the services are instead, over TLS or by a sidecar: host:port or unix:/path for all, or
    sandbox=host:port,policy=… for each."""
    tls_ca: str = ""
    """File with the authorities whose certificates are believed there (PEM)."""
    tls_cert: str = ""
    """File with our certificate (PEM)."""
    tls_key: str = ""
    """File with its key (PEM)."""
    tls_name: str = ""
    """The name that the services' certificate is for, where that is not the address's host."""
    operator: str = ""
    """The person whose directory is used; by default whoever calls, before sudo."""
    operators: tuple[str, ...] = ()
    """Further users of this machine who get an operator's directory."""
    auditors: tuple[str, ...] = ()
    """Users of this machine who get an auditor's directory."""
    uid_base: int = 1_899_000_000
    """First of the uids and gids that the services run under."""
    log_bytes: int = 16 * 1024 * 1024
    """Size at which a service's log is turned over; one earlier log is kept."""
    start_seconds: float = 60.0
    """How long a service may take until it serves."""

    @property
    def tls(self) -> Tls | None:
        """The certificates for the address; None where no authority is named."""
        return Tls(self.tls_ca, self.tls_cert, self.tls_key, self.tls_name) if self.tls_ca else None

    @property
    def person(self) -> str:
        """Name of the operator's directory."""
        return self.operator or os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name

    def socket(self, service: str) -> Path:
        """The operator's socket of a service by its short name."""
        return self.run_dir / "operators" / self.person / f"{service}.sock"

    def service_socket(self, service: str) -> Path:
        """The socket on which services call each other."""
        return self.run_dir / "services" / f"{service}.sock"

    @property
    def logs(self) -> Path:
        """Directory of the processes' logs, one `<process>.log` each."""
        return self.state_dir / "logs"
