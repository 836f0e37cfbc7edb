"""The NAMESPACE tier: the same service without Docker, by bubblewrap, as root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stockade.sandbox.v1 import exec_service_pb2, sandbox_pb2, sandbox_service_pb2
from stockade_sandbox.engines.control_group import ControlGroup

from support.engine import ROOT, SUPERVISOR_DIR, EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, mounts_below, refused, served_sandboxes

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("bwrap"), reason="needs root, and bubblewrap on the path"
)

IMAGE = "stockade/busybox:1"
NOWHERE = EngineInUse("unix:///run/no-engine.sock")
MIB = 1 << 20
HOLD = "x=$(head -c 200m /dev/zero | tr '\\0' x); echo ${#x}"
CAPABILITIES = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSandboxes]:
    subprocess.run([ROOT / "deploy/images/supervisor/build", SUPERVISOR_DIR], check=True, timeout=300)
    images = tmp_path_factory.mktemp("roots")
    _unpack_busybox(images / "stockade+busybox+1")
    settings = {"tiers": "NAMESPACE", "accept_lower_tier": True, "default_image": IMAGE, "namespace_images": images}
    with served_sandboxes(NOWHERE, **settings, warm="") as served:
        yield served


@pytest.fixture(scope="module")
def sandbox(service: ServedSandboxes) -> Iterator[str]:
    ada = service.operator()
    name = ada.create(limits={"pids": 40, "memory_bytes": 128 * MIB}).name
    yield name
    ada.delete(name)


@pytest.fixture
def ada(service: ServedSandboxes) -> Caller:
    return service.operator()


def shell(caller: Caller, sandbox: str, line: str) -> exec_service_pb2.RunCommandResponse:
    return caller.run(sandbox, "sh", "-c", line)


def test_its_tier_is_told(ada: Caller, sandbox: str) -> None:
    assert ada.get(sandbox).tier == sandbox_pb2.TIER_NAMESPACE


def test_the_wall(ada: Caller, sandbox: str) -> None:
    status = dict(line.split(":\t") for line in shell(ada, sandbox, CAPABILITIES).stdout.decode().splitlines())
    assert {value for name, value in status.items() if name.startswith("Cap")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


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
    "the supervisor's memory": "cat /proc/1/environ",
    "a signal to the supervisor": "kill -9 1; kill -15 1; ! test -d /proc/1",
    "hardware": "test -e /sys/class",
    "an address outside": "ping -c 1 -w 1 1.1.1.1 || nc -w 1 1.1.1.1 80 < /dev/null",
}


@pytest.mark.parametrize("line", DENIED.values(), ids=DENIED)
def test_what_is_denied(ada: Caller, sandbox: str, line: str) -> None:
    assert shell(ada, sandbox, line).ending.exit_code != 0
    assert shell(ada, sandbox, "echo up").stdout == b"up\n"


def test_there_is_no_interface_but_loopback_and_no_other_user(ada: Caller, sandbox: str) -> None:
    assert shell(ada, sandbox, "ls /proc/sys/net/ipv4/conf").stdout.split() == [b"all", b"default", b"lo"]
    assert shell(ada, sandbox, "ps -o pid,comm").stdout.splitlines()[1].split()[0] == b"1"
    assert shell(ada, sandbox, "cut -d: -f1 /etc/passwd; hostname").stdout.split() == [
        b"root",
        b"agent",
        sandbox.encode(),
    ]


ENDINGS = {
    "exit": ("exit 5", exec_service_pb2.ENDING_REASON_EXITED),
    "signal": ("kill -TERM $$", exec_service_pb2.ENDING_REASON_SIGNALLED),
    "memory": (HOLD, exec_service_pb2.ENDING_REASON_OUT_OF_MEMORY),
    "pids": ("for i in $(seq 60); do sleep 1 & done; wait", exec_service_pb2.ENDING_REASON_PIDS_LIMIT),
    "disk": ("cat /dev/zero > /workspace/full", exec_service_pb2.ENDING_REASON_DISK_FULL),
}


@pytest.mark.parametrize(("line", "reason"), ENDINGS.values(), ids=ENDINGS)
def test_endings(ada: Caller, sandbox: str, line: str, reason: int) -> None:
    assert shell(ada, sandbox, line).ending.reason == reason
    eventually(lambda: shell(ada, sandbox, "rm -f /workspace/full; sleep 1.2").ending.exit_code == 0)


def test_a_timeout_ends_the_whole_tree(ada: Caller, sandbox: str) -> None:
    line = "trap '' TERM; setsid sleep 61 & (setsid sh -c 'sleep 61 &') & sleep 61"
    command = exec_service_pb2.Command(args=["sh", "-c", line], timeout={"nanos": 300_000_000})
    answer = ada.execs.RunCommand(exec_service_pb2.RunCommandRequest(sandbox=sandbox, command=command))
    assert answer.ending.reason == exec_service_pb2.ENDING_REASON_TIMEOUT
    assert b"sleep" not in shell(ada, sandbox, "ps -o comm").stdout


def test_it_stands_still_and_goes_on(ada: Caller, service: ServedSandboxes) -> None:
    name = ada.create().name
    ada.sandboxes.PauseSandbox(sandbox_service_pb2.PauseSandboxRequest(name=name))
    assert ada.get(name).state == sandbox_pb2.SANDBOX_STATE_PAUSED
    ada.sandboxes.ResumeSandbox(sandbox_service_pb2.ResumeSandboxRequest(name=name))
    assert shell(ada, name, "echo on").stdout == b"on\n"
    ada.delete(name)
    assert not list((service.state_dir / "sandbox" / "namespace").glob(f"{name}*"))
    assert not Path(ControlGroup(name).entrances()[0]).exists()
    assert not [mount for mount in mounts_below(service.root) if name in mount]


def test_a_service_that_was_killed_finds_it_again(service: ServedSandboxes) -> None:
    ada = service.operator()
    name = ada.create().name
    shell(ada, name, "echo kept > /workspace/file; sleep 300 > /dev/null 2>&1 &")
    service.kill()
    service.start()
    ada = service.operator()
    eventually(lambda: ada.get(name).state == sandbox_pb2.SANDBOX_STATE_RUNNING)
    assert eventually(lambda: shell(ada, name, "cat /workspace/file; pidof sleep").stdout).startswith(b"kept\n")
    ada.delete(name)


def test_an_init_that_dies_is_noticed(service: ServedSandboxes) -> None:
    ada = service.operator()
    name = ada.create().name
    for file in ControlGroup(name).entrances()[:1]:
        for pid in Path(file).read_text().split():
            os.kill(int(pid), 9)
    eventually(lambda: ada.get(name).state == sandbox_pb2.SANDBOX_STATE_LOST)


def test_a_missing_image_is_told(ada: Caller) -> None:
    assert refused(lambda: ada.create(image="stockade/nowhere:1"))["reason"] == "IMAGE_MISSING"
    assert refused(lambda: ada.create(image="stockade/../../etc"))["reason"] in ("IMAGE_MISSING", "INVALID_REQUEST")


def _unpack_busybox(root: Path) -> None:
    """An image that holds a static busybox and nothing else."""
    busybox = shutil.which("busybox")
    assert busybox, "install busybox-static"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
