"""Where a service listens: one Unix socket per kind of principal, in a directory that only that kind can enter.

run_dir/operators/<person>/sandbox.sock     an operator, by name
run_dir/auditors/<person>/sandbox.sock      an auditor, by name
run_dir/services/sandbox.sock               another service
run_dir/gate/sandbox.sock                   agents, as the gate's doors name them

Beside each but the last lies sandbox.metrics.sock, where metrics are read by HTTP.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stockade_rpckit import identity, sockets
from stockade_rpckit.identity import Authenticate, Principal, PrincipalKind
from stockade_rpckit.settings import refuse

SOCKET_PATH_BYTES = 107
"""unix(7): sun_path is 108 bytes with its closing NUL."""


@dataclass(frozen=True)
class Listener:
    """A socket and how it proves who calls."""

    path: Path
    authenticate: Authenticate
    metrics: Path | None = None
    """Where whoever may enter reads the service's metrics; None where agents enter."""

    def claim(self) -> None:
        """Make the path free to bind, or end the process with one line that says why it is not."""
        if len(os.fsencode(longest := self.metrics or self.path)) > SOCKET_PATH_BYTES:
            refuse(
                f"{longest} is longer than the {SOCKET_PATH_BYTES} bytes of a socket's path; choose a shorter run_dir"
            )
        if sockets.answers(self.path):
            refuse(f"{self.path} is already served by another process; stop it, or choose another run_dir")
        self.remove()

    def remove(self) -> None:
        """Take its sockets away."""
        for path in filter(None, (self.path, self.metrics)):
            path.unlink(missing_ok=True)

    def open_to_directory(self) -> None:
        """Let whoever can enter the directory connect: its mode is the gate, not the socket's."""
        sockets.open_to_directory(self.path)


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
