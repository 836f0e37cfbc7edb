"""What the NAMESPACE tier makes of a container: a command line, and files of cgroups of both versions."""

from pathlib import Path

import pytest
from stockade_sandbox.domain.ports import Container, Mount
from stockade_sandbox.domain.sandbox import Limits, Tier
from stockade_sandbox.engines import filters
from stockade_sandbox.engines.bubblewrap import Outfit, command
from stockade_sandbox.engines.control_group import ControlGroup

LIMITS = Limits(cpu=1.5, memory=64 << 20, disk=1, pids=33)
OUTFIT = Outfit(root=Path("/roots/a"), empty=Path("/state/empty"), entrances=["/cg/procs"], info=20, seccomp=21)


def container(**fields: object) -> Container:
    made = {
        "name": "sb-a",
        "image": "stockade/a",
        "uid": 1_900_000_001,
        "limits": LIMITS,
        "cpus": (0, 1),
        "host_network": False,
        "command": ("/opt/stockade/lib/ld.so", "app"),
        "mounts": (Mount(Path("/work"), "/workspace", read_only=False), Mount(Path("/run/sb"), "/run/stockade")),
        "working_dir": "/workspace",
        "tier": Tier.NAMESPACE,
        **fields,
    }
    return Container(**made)  # type: ignore[arg-type]


def pairs(arguments: list[str], option: str) -> list[tuple[str, ...]]:
    """The two arguments after each occurrence of an option."""
    return [tuple(arguments[n + 1 : n + 3]) for n, argument in enumerate(arguments) if argument == option]


def test_the_command_line_is_the_wall() -> None:
    arguments = command(container(), OUTFIT)
    wall = arguments[arguments.index("bwrap") : arguments.index("--")]
    assert {"--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--new-session", "--clearenv"} <= set(
        wall
    )
    assert pairs(wall, "--ro-bind")[:2] == [("/roots/a", "/"), ("/run/sb", "/run/stockade")]
    assert pairs(wall, "--bind") == [("/work", "/workspace")]
    assert ("/state/empty", "/proc/cpuinfo") in pairs(wall, "--ro-bind")
    assert pairs(wall, "--cap-drop")[0][0] == "ALL"
    assert pairs(wall, "--seccomp")[0][0] == "21"
    assert not [argument for argument in wall if argument.startswith("--share") or argument == "--dev-bind"]
    inside = arguments[arguments.index("--") + 1 :]
    assert inside[-3:] == ["1900000001", "/opt/stockade/lib/ld.so", "app"]


def test_only_host_mode_keeps_the_hosts_network() -> None:
    assert "--unshare-net" not in command(container(host_network=True), OUTFIT)


def test_the_filter_is_a_program_of_whole_instructions() -> None:
    program = filters.program()
    assert len(program) % 8 == 0
    assert len(program) > 100 * 8


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    for tree in ("memory", "pids", "freezer", "cpu", "cpuset"):
        (tmp_path / tree).mkdir()
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-3\n")
    return tmp_path


def test_limits_in_version_1(version_1: Path) -> None:
    group = ControlGroup("sb-a", version_1)
    group.make(LIMITS, (0, 1))
    files = {
        "memory": {"memory.limit_in_bytes": str(64 << 20)},
        "pids": {"pids.max": "33"},
        "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
        "cpuset": {"cpuset.cpus": "0,1", "cpuset.mems": "0\n"},
    }
    for tree, contents in files.items():
        for name, content in contents.items():
            assert (version_1 / tree / "stockade/sb-a" / name).read_text() == content
    assert len(group.entrances()) == 5
    group.freeze(True)
    assert (version_1 / "freezer/stockade/sb-a/freezer.state").read_text() == "FROZEN"
    assert group.frozen()


@pytest.mark.parametrize(("before", "after"), [(32 << 20, 64 << 20), (128 << 20, 64 << 20)])
def test_memory_with_swap_is_never_below_memory(version_1: Path, before: int, after: int) -> None:
    place = version_1 / "memory/stockade/sb-a"
    place.mkdir(parents=True)
    (place / "memory.limit_in_bytes").write_text(str(before))
    (place / "memory.memsw.limit_in_bytes").write_text(str(before))
    group = ControlGroup("sb-a", version_1)
    group.make(LIMITS, (0,))
    assert [int((place / f"memory.{kind}limit_in_bytes").read_text()) for kind in ("", "memsw.")] == [after, after]


def test_limits_in_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids")
    group = ControlGroup("sb-a", tmp_path)
    group.make(LIMITS, (0, 1))
    place = tmp_path / "stockade/sb-a"
    wanted = {"memory.max": str(64 << 20), "memory.swap.max": "0", "pids.max": "33", "cpu.max": "150000 100000"}
    assert {name: (place / name).read_text() for name in wanted} == wanted
    assert (place / "cpuset.cpus").read_text() == "0,1"
    for parent in (tmp_path, tmp_path / "stockade"):
        assert (parent / "cgroup.subtree_control").read_text() == "+memory +pids +cpu +cpuset"
    (place / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    (place / "memory.events").write_text("oom 2\noom_kill 2\n")
    assert (group.frozen(), group.oom_kills()) == (True, 2)
