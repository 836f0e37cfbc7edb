"""The audit journal of a service's process."""

from pathlib import Path
from typing import Final

from stockade_audit import Journal

from stockade_rpckit.settings import ServiceSettings, refuse

COPIED_SOCKET: Final = "services/copied.sock"
"""Below run_dir: where the audit daemon says what the copy beyond this machine has."""


def open_journal(settings: ServiceSettings, service: str) -> Journal:
    """The journal of this process's slot, "sandbox-0" for service "sandbox". Raises what `Journal.open` raises."""
    root = settings.state_dir / "audit" / "journals"
    return Journal.open(root, service=service, slot=f"{service}-{settings.slot}", copied=_copied(settings))


def _copied(settings: ServiceSettings) -> Path | None:
    if settings.record_ack not in ("local", "replicated"):
        refuse(f"record_ack is {settings.record_ack!r}: choose local or replicated")
    return settings.run_dir / COPIED_SOCKET if settings.record_ack == "replicated" else None
