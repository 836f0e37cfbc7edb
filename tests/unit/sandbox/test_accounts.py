"""Usage from recorded cgroup files, of both versions."""

from pathlib import Path

import pytest
from stockade_sandbox import accounts
from stockade_sandbox.domain.usage import Cpu, Memory, Pids

PATH = "docker/4f1c"

V1 = {
    "cpuacct/cpuacct.usage": "1500000000\n",
    "cpuacct/cpuacct.stat": "user 100\nsystem 50\n",
    "cpu/cpu.stat": "nr_periods 10\nnr_throttled 3\nthrottled_time 200000000\n",
    "memory/memory.usage_in_bytes": "1000\n",
    "memory/memory.max_usage_in_bytes": "2000\n",
    "memory/memory.limit_in_bytes": "4096\n",
    "memory/memory.stat": "cache 1\nrss 2\ntotal_cache 300\ntotal_rss 700\ntotal_swap 5\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids/pids.current": "7\n",
    "pids/pids.max": "128\n",
    "pids/pids.events": "max 4\n",
}
V2 = {
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\nnr_periods 10\nnr_throttled 3\n"
    "throttled_usec 200000\n",
    "memory.current": "1000\n",
    "memory.peak": "2000\n",
    "memory.max": "4096\n",
    "memory.swap.current": "5\n",
    "memory.stat": "anon 700\nfile 300\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\n",
    "pids.current": "7\n",
    "pids.max": "128\n",
    "pids.events": "max 4\n",
}
EXPECTED = (
    Cpu(total_s=1.5, user_s=1.0, system_s=0.5, periods=10, throttled_periods=3, throttled_s=0.2),
    Memory(used=1000, peak=2000, cache=300, swap=5, limit=4096, oom_kills=2),
    Pids(used=7, limit=128, refused=4),
)


def recorded(root: Path, files: dict[str, str], version: int) -> Path:
    proc = root / "proc/42"
    proc.mkdir(parents=True)
    controllers = {1: [f"{n}:{name}:/{PATH}" for n, name in enumerate(["cpu", "cpuacct", "memory", "pids"], 1)], 2: []}
    (proc / "cgroup").write_text("\n".join([*controllers[version], f"0::/{PATH}"]) + "\n")
    for name, text in files.items():
        controller, _, file = name.rpartition("/")
        directory = root / "cgroup" / controller / PATH
        directory.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(text)
    return root


@pytest.mark.parametrize(("version", "files"), [(1, V1), (2, V2)])
def test_both_versions_tell_the_same(version: int, files: dict[str, str], tmp_path: Path) -> None:
    root = recorded(tmp_path, files, version)
    assert accounts.read(42, root / "cgroup", root / "proc") == EXPECTED


def test_what_an_older_kernel_has_not_is_zero(tmp_path: Path) -> None:
    old = {name: text for name, text in V2.items() if name not in ("memory.peak", "memory.swap.current")}
    root = recorded(tmp_path, old | {"memory.max": "max\n"}, 2)
    _, memory, _ = accounts.read(42, root / "cgroup", root / "proc")
    assert (memory.peak, memory.swap, memory.limit) == (0, 0, 0)


def test_a_container_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        accounts.read(42, tmp_path, tmp_path)
