"""The wall around a sandbox of the NAMESPACE tier, as bubblewrap's command line (bwrap(1)).

bubblewrap is started by root and makes no user namespace, so that no path of the host has to be open to the agent's
user. Inside, before anything of the agent runs, the supervisor's interpreter becomes that user and the supervisor;
no_new_privs, which bubblewrap always sets, makes that final.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stockade_sandbox.domain.ports import Container
from stockade_sandbox.engines.hardening import OOM_SCORE, READ_ONLY_PATHS, masked_paths
from stockade_sandbox.supervision import supervisor_command

_MIB = 1 << 20
_ENTER = 'for file in {}; do echo $$ > "$file" || exit 125; done; echo {} > /proc/$$/oom_score_adj; exec "$@"'
_BECOME = """
import ctypes, os, struct, sys
libc, uid = ctypes.CDLL(None), int(sys.argv[1])
for capability in range(64):
    libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24))
os.execv(sys.argv[2], sys.argv[2:])
"""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """What bubblewrap needs of the host for one sandbox."""

    root: Path
    """The unpacked image, as this sandbox sees it."""
    empty: Path
    """A file without content, to lie over what is masked."""
    entrances: list[str]
    """The files that a process writes its pid to in order to enter the sandbox's cgroup."""
    info: int
    """The descriptor to which bubblewrap writes which process is the sandbox's init."""
    seccomp: int
    """The descriptor from which it reads the filter."""


def command(container: Container, outfit: Outfit) -> list[str]:
    """What root starts: it enters the sandbox's cgroup, gives up what sets a service before it, and is bubblewrap."""
    enter = _ENTER.format(" ".join(outfit.entrances), OOM_SCORE)
    start = ["/bin/sh", "-c", enter, "sh", "nice", "-n", str(-os.nice(0)), "bwrap"]
    become = [*supervisor_command()[:-1], "-c", _BECOME, str(container.uid)]
    return [*start, *_wall(container, outfit), "--", *become, *container.command]


def mount_points(container: Container) -> Iterator[tuple[str, bool]]:
    """What has to be there in the image to mount on: (path, whether it is a directory)."""
    for path in ("/proc", "/dev", "/tmp"):  # noqa: S108 - inside the sandbox
        yield path, True
    for mount in container.mounts:
        if not mount.target.startswith("/proc/"):  # the kernel has it there
            yield mount.target, mount.source.is_dir()


def _wall(container: Container, outfit: Outfit) -> Iterator[str]:
    yield from ("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--as-pid-1")
    if not container.host_network:
        yield "--unshare-net"
    yield from ("--new-session", "--clearenv", "--cap-drop", "ALL")
    for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # until it has become the agent's user
        yield from ("--cap-add", capability)
    yield from ("--info-fd", str(outfit.info), "--seccomp", str(outfit.seccomp), "--hostname", container.name)
    yield from ("--ro-bind", str(outfit.root), "/", "--proc", "/proc", "--dev", "/dev")
    yield from _tmpfs("/tmp", container.limits.memory // 4)  # noqa: S108 - inside the sandbox
    yield from _tmpfs("/dev/shm", min(64 * _MIB, container.limits.memory // 8))  # noqa: S108
    for mount in container.mounts:
        yield from ("--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.target)
    yield from _masks(masked_paths(container), outfit.empty)
    for name, value in _ENVIRONMENT.items():
        yield from ("--setenv", name, value)
    yield from ("--chdir", container.working_dir)


def _tmpfs(path: str, size: int) -> tuple[str, ...]:
    return "--perms", "1777", "--size", str(size), "--tmpfs", path


def _masks(masked: Iterable[str], empty: Path) -> Iterator[str]:
    """What a container has masked or read-only, as far as it is here: there is no /sys."""
    for path in masked:
        here = Path(path)
        if path.startswith("/proc/") and here.exists():
            yield from ("--tmpfs", path) if here.is_dir() else ("--ro-bind", str(empty), path)
    for path in READ_ONLY_PATHS:
        if Path(path).exists():
            yield from ("--ro-bind", path, path)
