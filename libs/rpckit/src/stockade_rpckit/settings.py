"""Settings: one frozen dataclass per service, read once from the environment at start.

A field `run_dir` of the sandbox service is the variable `STOCKADE_SANDBOX_RUN_DIR`. Nothing else in a service reads the
environment.
"""

import dataclasses
import os
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What every service can be told."""

    run_dir: Path = Path("/run/stockade")
    """Directory of the sockets; keep it short, a socket's path ends at 107 bytes."""
    state_dir: Path = Path("/var/lib/stockade")
    """Directory of what outlives a restart."""
    slot: str = "0"
    """Which of several processes of this service this one is; names its audit journal."""
    record_ack: str = "local"
    """When an entry of the record counts as durable: local, or replicated, once its copy on another machine has it."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    drain_seconds: float = 5.0
    """How long calls in flight may take to end after SIGTERM."""
    listen: str = ""
    """Address for callers with a certificate of the mesh, host:port; empty for none."""
    tls_cert: str = ""
    """File with our own certificate and its chain (PEM). This, the key and the CA are read again when they change."""
    tls_key: str = ""
    """File with the certificate's key (PEM)."""
    tls_ca: str = ""
    """File with the authorities whose certificates are believed (PEM)."""
    connection_seconds: float = 600.0
    """How long a connection to the address lives before its caller proves itself anew; no call is dropped for it."""
    trust_domain: str = "stockade"
    """The SPIFFE trust domain of callers: `spiffe://<it>/agent/<type>/<agent>` and the like; of no other."""
    sidecar_id: str = ""
    """Our sidecar's SPIFFE id. With it, run_dir/sidecar is served, and who calls is whom the sidecar saw."""
    registry_url: str = ""
    """The Redis that says which node holds which agent's sandbox; empty where no node speaks for agents."""

    @property
    def in_mesh(self) -> bool:
        """Whether callers of a mesh are served."""
        return bool(self.listen or self.sidecar_id)


def _boolean(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in words:
        raise ValueError("want true or false")
    return words[text.lower()]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


_PARSERS: Mapping[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: _boolean,
    Path: Path,
    tuple[str, ...]: _words,
}


def load(cls: type[S], prefix: str, environment: Mapping[str, str] | None = None) -> S:
    """Read `cls` from variables named PREFIX_FIELD.

    Raises:
        SystemExit: with status 2, after one line on stderr, for a variable with our prefix that names no field, and
            for a value of the wrong type.
    """
    environment = os.environ if environment is None else environment
    fields = {f"{prefix}_{f.name.upper()}": f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    types = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(prefix + "_"):
            continue
        if variable not in fields:
            refuse(f"{variable} is not a setting; the settings are {', '.join(sorted(fields))}")
        field = fields[variable]
        try:
            values[field.name] = _PARSERS[types[field.name]](text)
        except ValueError as error:
            refuse(f"{variable}={text!r} is not a valid {field.type}: {error}")
    return cls(**values)


def refuse(line: str) -> NoReturn:
    """End the process before it has begun: one line on stderr, status 2."""
    print(f"stockade: {line}", file=sys.stderr)
    raise SystemExit(2)
