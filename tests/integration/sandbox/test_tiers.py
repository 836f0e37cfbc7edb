"""The same sandbox in each tier, but for what docs/sandbox.md says of the tier: that page's matrix, tried out."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from stockade.sandbox.v1 import exec_service_pb2, sandbox_pb2, sandbox_service_pb2
from stockade_sandbox.supervision import supervisor_command

from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, mounts_below, refused
from support.tiers import TIERS, served_in

pytestmark = pytest.mark.docker

MIB = 1 << 20
HOLD = "x=$(head -c 200m /dev/zero | tr '\\0' x); echo ${#x}"
PYTHON = " ".join(supervisor_command()[:-1])


@dataclass(frozen=True)
class Node:
    """A running service of one tier."""

    tier: str
    served: ServedSandboxes


@pytest.fixture(scope="module", params=TIERS)
def node(
    request: pytest.FixtureRequest, engine: EngineInUse, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    with served_in(request.param, engine, tmp_path_factory.mktemp("roots")) as served:
        yield Node(request.param, served)


@pytest.fixture(scope="module")
def sandbox(node: Node) -> Iterator[str]:
    ada = node.served.operator()
    name = ada.create(limits={"pids": 40, "memory_bytes": 256 * MIB}).name
    yield name
    ada.delete(name)


@pytest.fixture
def ada(node: Node) -> Caller:
    return node.served.operator()


def shell(caller: Caller, sandbox: str, line: str) -> exec_service_pb2.RunCommandResponse:
    return caller.run(sandbox, "sh", "-c", line)


def not_in(node: Node, *tiers: str) -> None:
    """Leaves the rest out in these tiers, which promise something else: see the matrix."""
    if node.tier in tiers:
        pytest.skip(f"what {node.tier} promises here is something else")


def test_its_tier_is_told(ada: Caller, node: Node, sandbox: str) -> None:
    assert ada.get(sandbox).tier == sandbox_pb2.Tier.Value(f"TIER_{node.tier}")


def test_nobody_has_a_capability(ada: Caller, sandbox: str) -> None:
    lines = shell(ada, sandbox, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status").stdout.decode().splitlines()
    status = dict(line.split(":\t") for line in lines)
    assert {value for name, value in status.items() if name.startswith("Cap") and name != "CapAmb"} <= {"0" * 16}
    assert (status.get("NoNewPrivs", "1"), status["Seccomp"]) == ("1", "2")


DENIED = {
    "a write to the image": "touch /bin/x",
    "a write beside the workspace": "touch /x",
    "a write to its own directory": "touch /run/stockade/x",
    "a mount": "mount -t tmpfs none /tmp",
    "a user namespace": "unshare -U true",
    "a change of root": "chroot / true",
    "a device": "mknod /workspace/null c 1 3",
    "the host's processors": "grep -v unknown /proc/cpuinfo | grep 'model name'",
    "a setting of the kernel": "echo 1 > /proc/sys/kernel/printk",
    "the supervisor's memory": "cat /proc/1/mem",
    "a signal to the supervisor": "kill -9 1; kill -15 1; ! test -d /proc/1",
    "the same by a number of 33 bits": f"{PYTHON} -c 'import ctypes; ctypes.CDLL(None).syscall(62, ctypes.c_long("
    "(1 << 32) + 1), 9)'; ! test -d /proc/1",
    "hardware": "test -e /sys/class/net",
    "an address outside": "ping -c 1 -w 1 1.1.1.1 || nc -w 1 1.1.1.1 80 < /dev/null",
}


@pytest.mark.parametrize("what", DENIED)
def test_what_is_denied(ada: Caller, node: Node, sandbox: str, what: str) -> None:
    if what == "the host's processors":
        not_in(node, "GVISOR")
    assert shell(ada, sandbox, DENIED[what]).ending.exit_code != 0
    assert shell(ada, sandbox, "echo up").stdout == b"up\n"


def test_there_is_no_interface_but_loopback_and_no_other_user(ada: Caller, sandbox: str) -> None:
    interfaces = shell(ada, sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1").stdout.split()
    assert interfaces == [b"lo"]
    assert shell(ada, sandbox, "ps -o pid,comm").stdout.splitlines()[1].split()[0] == b"1"
    who = shell(ada, sandbox, "cut -d: -f1 /etc/passwd; hostname").stdout.split()
    assert who == [b"root", b"agent", sandbox.encode()]


ENDINGS = {
    "exit": ("exit 5", exec_service_pb2.ENDING_REASON_EXITED),
    "signal": ("kill -TERM $$", exec_service_pb2.ENDING_REASON_SIGNALLED),
    "memory": (HOLD.replace("200m", "400m"), exec_service_pb2.ENDING_REASON_OUT_OF_MEMORY),
    "pids": ("for i in $(seq 60); do sleep 1 & done; wait", exec_service_pb2.ENDING_REASON_PIDS_LIMIT),
    "disk": ("cat /dev/zero > /workspace/full", exec_service_pb2.ENDING_REASON_DISK_FULL),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_endings(ada: Caller, node: Node, sandbox: str, name: str) -> None:
    line, reason = ENDINGS[name]
    if name == "memory":
        not_in(node, "GVISOR")
    if name == "pids" and node.tier == "GVISOR":
        assert b"can't fork" in shell(ada, sandbox, line).stderr  # refused, and nobody counts it
        room = "for i in $(seq 20); do sleep 0.2 & done; wait"  # its threads on the host go a moment later
        eventually(lambda: not shell(ada, sandbox, room).stderr)
    else:
        done = shell(ada, sandbox, line)
        assert done.ending.reason == reason, done
    eventually(lambda: shell(ada, sandbox, "rm -f /workspace/full; ! pidof sleep").ending.exit_code == 0)


def test_memory_that_runs_out_takes_gvisors_whole_sandbox(ada: Caller, node: Node) -> None:
    not_in(node, "RUNC", "NAMESPACE")
    name = ada.create(limits={"memory_bytes": 96 * MIB}).name
    hold = f"{PYTHON} -c 'import time; held = bytes(range(256)) * (1 << 20); time.sleep(5)'"
    assert shell(ada, name, hold).ending.reason == exec_service_pb2.ENDING_REASON_OUT_OF_MEMORY
    eventually(lambda: ada.get(name).state == sandbox_pb2.SANDBOX_STATE_LOST)
    assert ada.get(name).state_reason == sandbox_pb2.STATE_REASON_OUT_OF_MEMORY


KILL_SUBREAPER = "kill -9 $PPID; sleep 0.1; "
TREES = {
    "sessions, double forks, ignored signals": "trap '' TERM; setsid sleep 61 & (setsid sh -c 'sleep 61 &') & sleep 61",
    "and whoever keeps them is killed": KILL_SUBREAPER + "trap '' TERM; setsid sleep 61 & (setsid sh -c 'sleep 61 &') &"
    " sleep 61",
    "a fork bomb": "bomb() { bomb | bomb & }; bomb & exec sleep 61",
}


@pytest.mark.parametrize("line", TREES.values(), ids=TREES)
def test_a_timeout_ends_the_whole_tree(ada: Caller, node: Node, line: str) -> None:
    sandbox = ada.create(limits={"pids": 40, "memory_bytes": 256 * MIB}).name
    command = exec_service_pb2.Command(args=["sh", "-c", line], timeout={"nanos": 600_000_000})
    answer = ada.execs.RunCommand(exec_service_pb2.RunCommandRequest(sandbox=sandbox, command=command))
    if node.tier == "GVISOR" and answer.ending.reason == exec_service_pb2.ENDING_REASON_SANDBOX_LOST:
        # On a busy machine the subreaper does not get there in time; then all of it ends, as the matrix says.
        eventually(lambda: ada.get(sandbox).state == sandbox_pb2.SANDBOX_STATE_LOST)
    else:
        assert answer.ending.reason == exec_service_pb2.ENDING_REASON_TIMEOUT
        assert answer.ending.usage.processes_left == 0
        assert b"sleep" not in shell(ada, sandbox, "ps -o comm").stdout
    ada.delete(sandbox)


def test_what_a_program_leaves_behind_is_counted_and_lives_on(ada: Caller, sandbox: str) -> None:
    done = shell(ada, sandbox, "setsid sleep 2 & (sleep 2 &) ; sleep 0.1")
    assert (done.ending.reason, done.ending.usage.processes_left) == (exec_service_pb2.ENDING_REASON_EXITED, 2)
    assert shell(ada, sandbox, "ps -o comm | grep -c '^sleep'").stdout == b"2\n"


def test_its_limits_are_what_was_asked_and_change(ada: Caller, sandbox: str) -> None:
    assert shell(ada, sandbox, "nproc").stdout == b"1\n"
    changed = ada.sandboxes.UpdateSandbox(
        sandbox_service_pb2.UpdateSandboxRequest(
            name=sandbox, update_mask={"paths": ["limits"]}, limits={"memory_bytes": 200 * MIB, "cpu": 0.5}
        )
    ).sandbox
    assert (changed.limits.memory_bytes, changed.limits.cpu) == (200 * MIB, 0.5)
    usage = ada.sandboxes.GetSandboxUsage(sandbox_service_pb2.GetSandboxUsageRequest(name=sandbox)).usage
    assert usage.memory.limit_bytes == 200 * MIB
    assert 0 < usage.memory.used_bytes < 100 * MIB
    assert usage.cpu.total.ToTimedelta().total_seconds() > 0
    assert usage.disk.used_bytes < usage.disk.limit_bytes


def test_it_stands_still_and_goes_on(ada: Caller, node: Node) -> None:
    name = ada.create().name
    ada.sandboxes.PauseSandbox(sandbox_service_pb2.PauseSandboxRequest(name=name))
    assert ada.get(name).state == sandbox_pb2.SANDBOX_STATE_PAUSED
    ada.sandboxes.ResumeSandbox(sandbox_service_pb2.ResumeSandboxRequest(name=name))
    assert shell(ada, name, "echo on").stdout == b"on\n"
    init_pid = _init_pid(node, name)
    ada.delete(name)
    assert not Path(f"/proc/{init_pid}/exe").exists()  # it may wait to be collected
    assert not list((node.served.state_dir / "sandbox" / "namespace").glob(f"{name}*"))
    assert not [path for path in node.served.root.glob(f"**/{name}*") if "journals" not in str(path)]
    assert not [mount for mount in mounts_below(node.served.root) if name in mount]


def test_its_files_can_be_kept(ada: Caller, sandbox: str) -> None:
    shell(ada, sandbox, "mkdir -p d && echo before > d/f && ln -s d/f link")
    snapshot = ada.sandboxes.CreateSnapshot(sandbox_service_pb2.CreateSnapshotRequest(name=sandbox)).snapshot
    shell(ada, sandbox, "echo after > d/f")
    request = sandbox_service_pb2.RestoreSandboxRequest(snapshot=snapshot.name)
    restored = ada.sandboxes.RestoreSandbox(request).sandbox
    assert shell(ada, restored.name, "cat link && echo mine >> d/f").stdout == b"before\n"
    ada.delete(restored.name)
    ada.sandboxes.DeleteSnapshot(sandbox_service_pb2.DeleteSnapshotRequest(name=snapshot.name))


def test_a_service_that_was_killed_finds_it_again(node: Node) -> None:
    ada = node.served.operator()
    name = ada.create().name
    shell(ada, name, "echo kept > /workspace/file; sleep 300 > /dev/null 2>&1 &")
    node.served.kill()
    node.served.start()
    ada = node.served.operator()
    eventually(lambda: ada.get(name).state == sandbox_pb2.SANDBOX_STATE_RUNNING)
    assert eventually(lambda: shell(ada, name, "cat /workspace/file; pidof sleep").stdout).startswith(b"kept\n")
    ada.delete(name)


def test_an_init_that_dies_is_noticed(node: Node) -> None:
    ada = node.served.operator()
    name = ada.create().name
    os.kill(_init_pid(node, name), signal.SIGKILL)
    eventually(lambda: ada.get(name).state == sandbox_pb2.SANDBOX_STATE_LOST)


def test_a_missing_image_is_told(ada: Caller) -> None:
    assert refused(lambda: ada.create(image="stockade/nowhere:1"))["reason"] == "IMAGE_MISSING"
    assert refused(lambda: ada.create(image="stockade/../../etc"))["reason"] in ("IMAGE_MISSING", "INVALID_REQUEST")


def _init_pid(node: Node, name: str) -> int:
    if node.tier == "NAMESPACE":
        return int(json.loads((node.served.state_dir / f"sandbox/namespace/{name}.json").read_text())["init_pid"])
    return int(node.served.engine.docker("inspect", "--format", "{{.State.Pid}}", name))
