"""`stockade doctor`: what this machine has, what it lacks, and what would mend it."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from stockade_cli.connection import current_settings
from stockade_cli.durations import show_bytes
from stockade_cli.errors import CommandFailed, Exit
from stockade_cli.output import json_option, print_json, style
from stockade_cli.settings import SERVICES, StackSettings

SOCKET_PATH_BYTES = 107
"""unix(7): sun_path is 108 bytes with its closing NUL."""
OLDEST_KERNEL = (5, 4)
OLDEST_ENGINE = (20, 10)
LEAST_DISK = 10 * 2**30
LEAST_MEMORY = 2 * 2**30


class Verdict(StrEnum):
    """How a check went. Only FAILED keeps a stack from working."""

    FINE = "fine"
    NOTE = "note"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, what was seen, and the mend where one is due."""

    check: str
    verdict: Verdict
    seen: str
    mend: str = ""


Check = Callable[[StackSettings], Iterator[Finding]]


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine and print what would mend it.

    Exits 0 when a stack can run here, 1 when something keeps it from running.
    """
    settings = current_settings()
    findings = [finding for check in CHECKS for finding in check(settings)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _show(findings)
    sys.exit(Exit.FAILED if any(finding.verdict == Verdict.FAILED for finding in findings) else 0)


def user(_settings: StackSettings) -> Iterator[Finding]:
    """Sandboxes need root on the host; using a running stack does not."""
    if os.geteuid() == 0:
        yield Finding("user", Verdict.FINE, "root")
    else:
        yield Finding("user", Verdict.NOTE, "not root: can use a stack, not start one", "sudo stockade up")


def kernel(_settings: StackSettings) -> Iterator[Finding]:
    """Version, and the features that the wall is made of."""
    release = platform.release()
    old = _version(release) < OLDEST_KERNEL
    yield _judge("kernel", not old, f"Linux {release}", "a kernel of 5.4 or newer")
    lacking = [name for name, path in _FEATURES.items() if not Path(path).exists()]
    yield _judge(
        "kernel features", not lacking, f"lacks {', '.join(lacking)}" if lacking else ", ".join(_FEATURES),
        "a kernel with these, and a container that shows them",
    )  # fmt: skip
    tree = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"
    yield Finding("cgroups", Verdict.FINE, tree)


_FEATURES = {
    "loop devices": "/dev/loop-control",
    "seccomp": "/proc/sys/kernel/seccomp",
    "cgroups": "/sys/fs/cgroup",
    "namespaces": "/proc/self/ns/net",
}


def programs(_settings: StackSettings) -> Iterator[Finding]:
    """What the stack calls."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    lacking = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
    seen = f"no {', '.join(lacking)}" if lacking else ", ".join(_PROGRAMS)
    yield _judge("programs", not lacking, seen, "scripts/setup")
    if shutil.which("nft", path=path) is None:
        yield Finding("nftables", Verdict.NOTE, "absent: the gate stands on its own two layers", "scripts/setup")


_PROGRAMS = ("docker", "mkfs.ext4", "mount", "setpriv", "unshare")


def engine(_settings: StackSettings) -> Iterator[Finding]:
    """A Docker engine, and whether sandboxes outlive its restart."""
    from stockade_cli.stack.engine import find

    address = find()
    if not address:
        yield Finding("engine", Verdict.NOTE, "none answers; `stockade up` starts the project's own")
        return
    info = _docker_info(address)
    version = str(info.get("ServerVersion", "?"))
    yield _judge(
        "engine", _version(version) >= OLDEST_ENGINE, f"Docker {version} at {address}", "Docker 20.10 or newer"
    )
    if not info.get("LiveRestoreEnabled"):
        yield Finding(
            "live-restore", Verdict.NOTE, "off: the engine's restart ends every sandbox",
            'set "live-restore": true in /etc/docker/daemon.json, or use deploy/host/engine',
        )  # fmt: skip
    runtimes = info.get("Runtimes") or {}
    if "runsc" in runtimes:
        yield Finding("gVisor", Verdict.FINE, "runsc is a runtime of this engine")
    else:
        yield Finding(
            "gVisor", Verdict.NOTE, "no runtime runsc: agent types of class hostile are refused (TIER_UNAVAILABLE)",
            "as root deploy/host/runsc fetch, then deploy/host/engine start",
        )  # fmt: skip


def envoy(_settings: StackSettings) -> Iterator[Finding]:
    """The gate's binary."""
    from stockade_cli.stack.checkout import envoy as binary

    try:
        text = subprocess.run([binary(), "--version"], check=False, capture_output=True, text=True).stdout
    except CommandFailed as failure:
        yield Finding("envoy", Verdict.FAILED, failure.message, "scripts/setup")
        return
    found = re.search(r"/(\d+\.\d+\.\d+)/", text)
    yield _judge("envoy", bool(found), found[1] if found else "says no version", "rm -r .tools/envoy; scripts/setup")


def space(settings: StackSettings) -> Iterator[Finding]:
    """Room for images and for what sandboxes write."""
    place = next(path for path in (settings.state_dir, *settings.state_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    yield _judge(
        "disk", free >= LEAST_DISK, f"{show_bytes(free)} free at {place}", "free 10 GiB, or another --state-dir"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield _judge("memory", memory >= LEAST_MEMORY, show_bytes(memory), "2 GiB or more")


def sockets(settings: StackSettings) -> Iterator[Finding]:
    """Paths short enough, and directories this user can enter."""
    longest = settings.run_dir / "sb" / "sb-000000000000" / "control.sock"
    length = max(len(os.fsencode(path)) for path in (longest, settings.socket("sandbox")))
    yield _judge(
        "socket paths", length <= SOCKET_PATH_BYTES, f"{length} of {SOCKET_PATH_BYTES} bytes", "a shorter --run-dir"
    )
    mine = settings.socket("sandbox").parent
    if settings.run_dir.exists() and not os.access(mine, os.X_OK):
        yield Finding(
            "operator", Verdict.NOTE, f"{settings.person} has no directory in {settings.run_dir}/operators",
            f"STOCKADE_STACK_OPERATORS={settings.person} stockade up",
        )  # fmt: skip


def stack(settings: StackSettings) -> Iterator[Finding]:
    """Whether one runs here, and serves."""
    from stockade_cli.stack.record import Lock, StackRecord

    record = StackRecord.read(settings.run_dir)
    if Lock(settings.run_dir).holder() is None or record is None:
        yield Finding("stack", Verdict.NOTE, "none runs", "stockade up")
        return
    ill = [each.name for each in record.processes if each.state != "serving"]
    seen = f"{', '.join(ill)} not serving" if ill else f"{', '.join((*SERVICES, 'gate'))} serve"
    yield _judge("stack", not ill, seen, f"the end of {settings.logs}/{ill[0] if ill else ''}.log says why")


CHECKS: tuple[Check, ...] = (user, kernel, programs, engine, envoy, space, sockets, stack)


def _judge(check: str, good: bool, seen: str, mend: str) -> Finding:
    return Finding(check, Verdict.FINE, seen) if good else Finding(check, Verdict.FAILED, seen, mend)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _docker_info(address: str) -> dict[str, Any]:
    command = ["docker", "-H", address, "info", "--format", "{{json .}}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def _show(findings: list[Finding]) -> None:
    colours = {Verdict.FINE: "green", Verdict.NOTE: "yellow", Verdict.FAILED: "red"}
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        verdict = style(finding.verdict.ljust(6), fg=colours[finding.verdict])
        click.echo(f"{verdict}  {finding.check.ljust(width)}  {finding.seen}")
        if finding.mend:
            click.echo(f"        {' ' * width}  mend: {finding.mend}")
