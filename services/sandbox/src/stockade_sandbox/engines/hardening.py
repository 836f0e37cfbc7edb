"""The wall around a container, as the body of Docker's `POST /containers/create`.

Everything here holds for every sandbox: `Container` has no field that could weaken it. Field names and meanings:
https://docs.docker.com/reference/api/engine/ (ContainerCreate).
"""

from collections.abc import Iterable
from typing import Any

from stockade_sandbox import seccomp
from stockade_sandbox.domain.ports import Container, Mount
from stockade_sandbox.domain.sandbox import Limits, Tier

MASKED_PATHS = (
    # what the host is made of, and how busy it is
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/vmstat",
    "/proc/zoneinfo",
    "/proc/loadavg",
    "/proc/diskstats",
    "/proc/partitions",
    "/proc/swaps",
    "/proc/modules",
    "/proc/cmdline",
    "/proc/version_signature",
    "/proc/interrupts",
    "/proc/softirqs",
    "/proc/buddyinfo",
    "/proc/pagetypeinfo",
    "/proc/slabinfo",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/devices",
    "/proc/misc",
    "/proc/key-users",
    "/proc/pressure",
    "/sys/block",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/firmware",
    "/sys/hypervisor",
    "/sys/kernel",
    "/sys/module",
    "/sys/power",
    # what the kernel tells, or does, for whoever asks
    "/proc/acpi",
    "/proc/asound",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
)

READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")

RUNTIMES = {Tier.RUNC: "runc", Tier.GVISOR: "runsc"}
"""The names of the engine's runtimes that make the tiers."""

_MIB = 1 << 20
_TMP_MOST = 256 * _MIB
_SHM_MOST = 64 * _MIB
_LOG_OPTIONS = {"max-size": "1m", "max-file": "1"}
_OPEN_FILES = 16384  # an engine inside a container may raise no limit above its own
_GVISOR_THREADS, _THREADS_A_PROCESS = 256, 4
"""Of the host's pids, what gVisor itself takes and what each process inside may cost: 34 and 2 to 3 were seen."""
OOM_SCORE = 500  # the host's kernel, short of memory, takes a sandbox before any service


def create_body(container: Container, image_volumes: Iterable[str] = ()) -> dict[str, Any]:
    """The request that makes `container`. `image_volumes` are paths that its image declares as volumes."""
    return {
        "Image": container.image,
        "Entrypoint": list(container.command),
        "Cmd": [],
        "User": f"{container.uid}:{container.uid}",
        "WorkingDir": container.working_dir,
        "Hostname": container.name,
        "Labels": dict(container.labels),
        "Healthcheck": {"Test": ["NONE"]},  # 35 ms of CPU a check; the supervisor's heartbeat is the health
        "StopSignal": "SIGKILL",
        "HostConfig": host_config(container, image_volumes),
    }


def host_config(container: Container, image_volumes: Iterable[str]) -> dict[str, Any]:
    """The part that the engine enforces."""
    return {
        "NetworkMode": "host" if container.host_network else "none",
        "Runtime": RUNTIMES[container.tier],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp.profile(container.tier)}"],
        "ReadonlyRootfs": True,
        "MaskedPaths": list(masked_paths(container)),
        "ReadonlyPaths": list(READ_ONLY_PATHS),
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "CpusetCpus": ",".join(map(str, container.cpus)),
        **limit_fields(container.limits, container.tier),
        "OomScoreAdj": OOM_SCORE,
        "Ulimits": list(_ulimits(container)),
        "ShmSize": min(_SHM_MOST, container.limits.memory // 8),
        "Tmpfs": dict(_tmpfs(container.limits, image_volumes)),
        "Mounts": [_mount(mount) for mount in container.mounts],
        "LogConfig": {"Type": "json-file", "Config": dict(_LOG_OPTIONS)},
        "RestartPolicy": {"Name": "no"},
        "Init": False,
    }


def masked_paths(container: Container) -> Iterable[str]:
    """What nobody inside may read, but for what a mount of ours stands in for."""
    ours = {mount.target for mount in container.mounts}
    return (path for path in MASKED_PATHS if path not in ours)


def limit_fields(limits: Limits, tier: Tier) -> dict[str, int]:
    """The limits that can change while a container runs. Memory is swap's limit too, so that there is no swap."""
    own_threads = _GVISOR_THREADS + _THREADS_A_PROCESS * limits.pids if tier is Tier.GVISOR else limits.pids
    return {
        "NanoCpus": int(limits.cpu * 1e9),
        "Memory": limits.memory,
        "MemorySwap": limits.memory,
        "PidsLimit": own_threads,
    }


def _tmpfs(limits: Limits, image_volumes: Iterable[str]) -> Iterable[tuple[str, str]]:
    yield "/tmp", _tmpfs_options(min(_TMP_MOST, limits.memory // 4))  # noqa: S108 - inside the sandbox
    # Left alone, a volume that the image declares would be a place on the host's disk without a quota.
    for path in image_volumes:
        yield path, _tmpfs_options(min(_SHM_MOST, limits.memory // 8))


def _tmpfs_options(size: int) -> str:
    return f"rw,exec,nosuid,nodev,mode=1777,size={size},nr_inodes={size >> 12}"


def _ulimits(container: Container) -> Iterable[dict[str, Any]]:
    yield _ulimit("core", 0)
    yield _ulimit("nofile", _OPEN_FILES)
    if container.tier is Tier.GVISOR:  # its kernel holds processes to this; the cgroup sees its own threads only
        yield _ulimit("nproc", container.limits.pids)


def _ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}


def _mount(mount: Mount) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": str(mount.source),
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }
