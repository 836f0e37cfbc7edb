"""The Docker engine that sandboxes run on, found or started by the project's own script."""

import subprocess
from dataclasses import dataclass

from stockade_cli.errors import CommandFailed
from stockade_cli.stack.checkout import checkout


@dataclass(frozen=True)
class Engine:
    """An engine's address, and whether this stack started it."""

    address: str
    ours: bool


def find() -> str:
    """The address of a running engine, or an empty string."""
    return _script("status").stdout.strip()


def ensure() -> Engine:
    """A running engine; starts the project's own where there is none. Raises CommandFailed."""
    if found := find():
        return Engine(found, ours=False)
    started = _script("start")
    if started.returncode:
        raise CommandFailed(_last_line(started.stderr))
    return Engine(started.stdout.strip(), ours=True)


def has_gvisor(address: str) -> bool:
    """Whether that engine has the runtime that the GVISOR tier is made of."""
    command = ["docker", "--host", address, "info", "--format", "{{json .Runtimes}}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return '"runsc"' in done.stdout


def stop() -> None:
    """End the project's own engine."""
    _script("stop")


def _script(verb: str) -> subprocess.CompletedProcess[str]:
    script = checkout() / "deploy/host/engine"
    return subprocess.run([script, verb], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("engine: ") if lines else "no Docker engine answers, and none could be started"
