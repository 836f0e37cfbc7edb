"""Both versions of cgroups, on recorded files: which trees, which counters."""

import os
from pathlib import Path

import pytest
from stockade_sandbox import cgroups
from stockade_sandbox.cgroups import ContainerCgroup, Counters, ExecCgroup, NoCgroup

DOCKER = "/docker/4b2c"
V1 = "\n".join(
    ["9:name=systemd:/docker/4b2c", "8:pids:/docker/4b2c", "6:freezer:/docker/4b2c", "4:memory:/docker/4b2c"]
)
HYBRID = V1 + "\n0::/docker/4b2c"
JOINED = V1.replace("8:pids", "8:cpu,pids")
V2 = "0::/system.slice/docker-4b2c.scope"
INIT, CHILD, STRANGER = 4000, 4001, 4002


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty host: /proc and /sys/fs/cgroup under a temporary directory."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/us\n6:freezer:/us\n8:pids:/us\n0::/us")
    monkeypatch.setattr(cgroups, "PROC", str(tmp_path / "proc"))
    return tmp_path


def process(host: Path, pid: int, inner: int, cgroup: str) -> None:
    directory = host / "proc" / str(pid)
    directory.mkdir(parents=True)
    (directory / "cgroup").write_text(cgroup)
    (directory / "status").write_text(f"Name:\tpython3\nPid:\t{pid}\nNSpid:\t{pid}\t{inner}\n")
    (directory / "oom_score_adj").write_text("0")


def tree(host: Path, path: str, **files: str) -> Path:
    directory = host / "cgroup" / path
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name.replace("__", ".")).write_text(content)
    return directory


def container(host: Path) -> ContainerCgroup:
    return ContainerCgroup.of(INIT, str(host / "cgroup"))


@pytest.mark.parametrize("recorded", [V1, HYBRID, JOINED], ids=["version 1", "beside version 2", "joined controllers"])
def test_version_1_is_three_trees(host: Path, recorded: str) -> None:
    process(host, INIT, 1, recorded)
    process(host, CHILD, 17, recorded)
    for controller in ("memory", "pids", "freezer"):
        tree(host, f"{controller}{DOCKER}", cgroup__procs=f"{INIT}\n{CHILD}\n")
    found = container(host)
    assert found.host_pid(17) == CHILD
    exec_cgroup = found.make("ex-1")
    tree(host, f"memory{DOCKER}/ex-1", memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    tree(host, f"memory{DOCKER}/ex-1", memory__max_usage_in_bytes="1048576\n", cgroup__procs="")
    tree(host, f"pids{DOCKER}/ex-1", pids__events="max 5\n", cgroup__procs="")
    tree(host, f"freezer{DOCKER}/ex-1", cgroup__procs="")
    assert exec_cgroup.counters() == Counters(oom_kills=2, pids_refused=5, peak_memory_bytes=1048576, cpu_s=None)
    found.move(17, exec_cgroup)
    for controller in ("memory", "pids", "freezer"):
        assert (host / f"cgroup/{controller}{DOCKER}/ex-1/cgroup.procs").read_text() == str(CHILD)
    assert (host / f"proc/{CHILD}/oom_score_adj").read_text() == "500"


@pytest.mark.parametrize(
    ("absent", "admitted"),
    [((), True), (("freezer",), False), (("memory", "pids", "freezer"), False)],
    ids=["in every tree", "not in one tree", "in none"],
)
def test_who_has_entered_is_in_every_tree(host: Path, absent: tuple[str, ...], admitted: bool) -> None:
    process(host, INIT, 1, V1)
    process(host, CHILD, 17, V1)
    process(host, STRANGER, 99, V1)
    for controller in ("memory", "pids", "freezer"):
        tree(host, f"{controller}{DOCKER}")
    exec_cgroup = container(host).make("ex-1")
    for controller in ("memory", "pids", "freezer"):
        inside = str(STRANGER) if controller in absent else f"{STRANGER}\n{CHILD}\n"
        tree(host, f"{controller}{DOCKER}/ex-1", cgroup__procs=inside, tasks="")
    assert exec_cgroup.admit(17) is admitted
    assert (host / f"proc/{CHILD}/oom_score_adj").read_text() == ("500" if admitted else "0")
    with exec_cgroup.entrances() as entrances:
        places = [os.readlink(f"/proc/self/fd/{fd}") for fd in entrances]
    assert places == [f"{host}/cgroup/{tree}{DOCKER}/ex-1/tasks" for tree in ("memory", "pids", "freezer")]


@pytest.mark.parametrize(
    ("file", "content", "renewed"),
    [
        ("memory.usage_in_bytes", "69632\n", True),
        ("memory.usage_in_bytes", f"{3 << 20}\n", False),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", False),
        ("pids.events", "max 1\n", False),
        ("cgroup.procs", f"{STRANGER}\n", False),
    ],
    ids=["empty", "memory still counted", "killed for memory", "a fork refused", "a process in it"],
)
def test_one_is_as_good_as_new_that_has_counted_nothing(host: Path, file: str, content: str, renewed: bool) -> None:
    process(host, INIT, 1, V1)
    for controller in ("memory", "pids", "freezer"):
        tree(host, f"{controller}{DOCKER}")
    exec_cgroup = container(host).make("ex-1")
    for controller in ("memory", "pids", "freezer"):
        tree(host, f"{controller}{DOCKER}/ex-1", cgroup__procs="", pids__events="max 0\n")
        directory = tree(host, f"{controller}{DOCKER}/ex-1", memory__usage_in_bytes="0\n")
        (directory / file).write_text(content)
    peak = host / f"cgroup/memory{DOCKER}/ex-1/memory.max_usage_in_bytes"
    peak.write_text("1048576\n")
    assert exec_cgroup.renew() is renewed
    assert peak.read_text().startswith("0") is renewed


def test_version_2_is_one_tree_in_which_the_init_makes_room(host: Path) -> None:
    process(host, INIT, 1, V2)
    scope = "system.slice/docker-4b2c.scope"
    tree(host, f"{scope}/supervisor", cgroup__procs="")
    top = tree(host, scope, cgroup__procs=f"{INIT}\n", cgroup__subtree_control="", pids__events="max 3\n")
    found = container(host)
    assert (top / "supervisor/cgroup.procs").read_text() == str(INIT)
    assert (top / "cgroup.subtree_control").read_text() == "+memory +pids"
    exec_cgroup = found.make("ex-1")
    tree(host, f"{scope}/ex-1", memory__events="low 0\noom 1\noom_kill 1\n", memory__peak="4096\n")
    tree(host, f"{scope}/ex-1", cpu__stat="usage_usec 1500000\nuser_usec 1\n")
    (top / "pids.events").write_text("max 7\n")
    assert exec_cgroup.counters() == Counters(oom_kills=1, pids_refused=4, peak_memory_bytes=4096, cpu_s=1.5)
    assert not exec_cgroup.renew()


@pytest.mark.parametrize(
    "recorded",
    [V1.replace(DOCKER, "/"), "0::/", "4:memory:/us\n6:freezer:/us\n8:pids:/us", "1:name=systemd:/x", ""],
    ids=["the root", "the root of version 2", "our own", "no controllers", "no process"],
)
def test_what_is_no_cgroup_of_its_own(host: Path, recorded: str) -> None:
    process(host, INIT, 1, recorded)
    with pytest.raises(NoCgroup):
        container(host)


def test_a_child_that_is_not_there(host: Path) -> None:
    process(host, INIT, 1, V1)
    process(host, STRANGER, 99, V1)
    tree(host, f"memory{DOCKER}", cgroup__procs=f"{INIT}\n{STRANGER}\n")
    with pytest.raises(ProcessLookupError):
        container(host).host_pid(17)


async def test_a_cgroup_that_is_gone_counts_nothing_and_is_killed_already(host: Path) -> None:
    gone = ExecCgroup({name: str(host / "nowhere" / name) for name in ("memory", "pids", "freezer")}, None)
    assert gone.counters() == Counters(oom_kills=0, pids_refused=0, peak_memory_bytes=None, cpu_s=None)
    assert await gone.kill()
    assert gone.remove()
