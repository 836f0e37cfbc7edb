"""Everything that exists of a service's sandboxes on the host, by kind: what is left of none of them is no orphan."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from stockade.sandbox.v1 import sandbox_service_pb2
from stockade_sandbox.engines.docker import SERVICE_LABEL
from stockade_sandbox.settings import Settings
from stockade_sandbox.wiring import service_id

from support.sandbox_service import Caller, ServedSandboxes, mounts_below

CGROUPS = Path("/sys/fs/cgroup")
_LISTENING = "00010000"


def census(served: ServedSandboxes) -> dict[str, set[str]]:
    """Every kind of thing that exists of a sandbox, by the sandbox's name."""
    return {
        "containers": served.containers(),
        "mounts": {Path(mount).name for mount in mounts_below(served.root)},
        "images": {path.stem for path in (served.state_dir / "sandbox/disks").iterdir()},
        "loops": {Path(line).stem for line in _loops() if str(served.root) in line},
        "mount points": {path.name for path in (served.run_dir / "sandbox/disks").iterdir()},
        "identities": {path.name for path in (served.run_dir / "sandbox/identity").iterdir()},
        "sockets": {path.parent.name for path in (served.run_dir / "sb").glob("*/control.sock")},
        "directories": {path.name for path in (served.run_dir / "sb").iterdir()},
        "listed": listed(served.operator()),
    }


def at_peace(served: ServedSandboxes, names: set[str]) -> bool:
    """Whether exactly `names` exist, each whole."""
    return all(found == names for found in census(served).values())


def listed(caller: Caller) -> set[str]:
    """Sandboxes that the service says live."""
    found = caller.sandboxes.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest()).sandboxes
    return {sandbox.name for sandbox in found}


def listeners(served: ServedSandboxes) -> list[str]:
    """Sandboxes whose control.sock is listened on, one for each listener (proc(5), /proc/net/unix)."""
    fields = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    paths = (Path(field[7]) for field in fields if len(field) > 7 and field[3] == _LISTENING)
    return [path.parent.name for path in paths if path.is_relative_to(served.run_dir / "sb")]


def container_ids(served: ServedSandboxes) -> set[str]:
    """Ids of the containers that exist, by which the kernel's cgroups and the engine's processes are named."""
    label = f"label={SERVICE_LABEL}={service_id(Settings(state_dir=served.state_dir))}"
    return set(served.engine.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", label).split())


def remains(ids: Iterable[str]) -> list[str]:
    """Cgroups and processes (shims, inits, monitors) that bear the id of one of these containers."""
    wanted = set(ids)
    cgroups = [str(path) for path in CGROUPS.glob("*/docker/*") if path.name in wanted]
    commands = [command for command in _command_lines() if any(name in command for name in wanted)]
    return cgroups + commands


def _loops() -> list[str]:
    command = ["losetup", "--noheadings", "--output", "BACK-FILE"]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def _command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
