"""The wall around a sandbox: as Docker holds it, and as a program inside finds it."""

import json
import socket
from typing import Any

import pytest
from stockade.sandbox.v1 import sandbox_pb2
from stockade_sandbox import seccomp

from support.journals import leaves
from support.sandbox_service import Caller, ServedSandboxes, eventually

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def inspected(served: ServedSandboxes, sandbox: sandbox_pb2.Sandbox) -> dict[str, Any]:
    found = json.loads(served.engine.docker("inspect", sandbox.name))[0]
    assert isinstance(found, dict)
    return found


def test_docker_holds_the_whole_list(inspected: dict[str, Any]) -> None:
    config, wall = inspected["Config"], inspected["HostConfig"]
    uid, gid = map(int, config["User"].split(":"))
    assert uid == gid >= 1_900_000_000
    assert wall["CapDrop"] == ["ALL"]
    assert not wall["CapAdd"]
    assert wall["Privileged"] is False
    assert "no-new-privileges:true" in wall["SecurityOpt"]
    assert any(option.startswith("seccomp={") for option in wall["SecurityOpt"])
    assert wall["ReadonlyRootfs"] is True
    assert wall["NetworkMode"] == "none"
    assert (wall["IpcMode"], wall["PidMode"], wall["UTSMode"], wall["UsernsMode"]) == ("private", "", "", "")
    assert wall["CgroupnsMode"] == "private"
    assert wall["Memory"] == wall["MemorySwap"] == 256 << 20
    assert (wall["PidsLimit"], wall["NanoCpus"], len(wall["CpusetCpus"].split(","))) == (64, 10**9, 1)
    assert {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in wall["Ulimits"]}["core"] == (0, 0)
    assert not wall["Devices"]
    assert wall["RestartPolicy"]["Name"] == "no"
    assert config["Healthcheck"]["Test"] == ["NONE"]
    for path in ("/proc/meminfo", "/proc/loadavg", "/proc/kcore", "/sys/devices", "/sys/firmware", "/sys/class"):
        assert path in wall["MaskedPaths"], path
    for path, options in wall["Tmpfs"].items():
        assert {"nosuid", "nodev"} <= set(options.split(",")), path
        assert "size=" in options, path


def test_nothing_is_mounted_but_its_own(
    inspected: dict[str, Any], served: ServedSandboxes, sandbox: sandbox_pb2.Sandbox
) -> None:
    mounts = {mount["Destination"]: mount for mount in inspected["Mounts"]}
    identity = {f"/etc/{name}" for name in ("passwd", "group", "hosts", "hostname", "resolv.conf")}
    processors = {"/proc/cpuinfo", "/proc/stat"}
    assert set(mounts) == {"/run/stockade", "/opt/stockade", "/workspace", *identity, *processors}
    assert [path for path, mount in mounts.items() if mount["RW"]] == ["/workspace"]
    assert mounts["/run/stockade"]["Source"] == str(served.run_dir / "sb" / sandbox.name)
    assert not any("docker.sock" in mount["Source"] for mount in mounts.values())
    assert all(mount["Propagation"] == "rprivate" for mount in mounts.values())


def test_each_sandbox_has_a_uid_of_its_own(ada: Caller, served: ServedSandboxes, inspected: dict[str, Any]) -> None:
    other = ada.create()
    assert served.engine.docker("inspect", "--format", "{{.Config.User}}", other.name) != inspected["Config"]["User"]
    ada.delete(other.name)


FAMILIES = {
    "ptrace": "ptrace(0, 0, 0, 0)",
    "reading another's memory": "process_vm_readv(1, 0, 0, 0, 0, 0)",
    "kcmp": "kcmp(1, 1, 0, 0, 0)",
    "chroot": "chroot(b'/tmp')",
    "pivot_root": "pivot_root(b'/tmp', b'/tmp')",
    "mount": "mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
    "umount": "umount2(b'/tmp', 2)",
    "new mounts": "fsopen(b'tmpfs', 0)",
    "unshare": "unshare(0x10000000)",
    "setns": "setns(0, 0)",
    "bpf": "bpf(0, 0, 0)",
    "userfaultfd": "userfaultfd(1)",
    "keyctl": "keyctl(0, -3, 0)",
    "add_key": "add_key(b'user', b'k', b'v', 1, -3)",
    "io_uring": "io_uring_setup(1, 0)",
    "perf": "perf_event_open(0, 0, -1, -1, 0)",
    "kernel log": "syslog(3, 0, 0)",
    "modules": "init_module(0, 0, b'')",
    "kexec": "kexec_load(0, 0, 0, 0)",
    "reboot": "reboot(0, 0, 0)",
    "ports": "iopl(3)",
    "host name": "sethostname(b'x', 1)",
    "swap": "swapon(b'/tmp/x', 0)",
    "accounting": "acct(0)",
    "quotas": "quotactl(0, 0, 0, 0)",
    "handles": "open_by_handle_at(-1, 0, 0)",
    "clock": "clock_settime(0, 0)",
    "adjusting the clock": "adjtimex(0)",
    "memory policy": "set_mempolicy(0, 0, 0)",
    "fanotify": "fanotify_init(0, 0)",
    "local descriptors": "modify_ldt(0, 0, 0)",
    "a user namespace by clone": "clone(0x10000011, 0, 0, 0, 0)",
    "packet sockets": "socket(17, 3, 0)",
    "virtual sockets": "socket(40, 1, 0)",
    "the kernel's crypto": "socket(38, 5, 0)",
    "netlink beside routes": "socket(16, 3, 9)",
    "no address randomisation": "personality(0x0040000)",
    "the supervisor's limits": "prlimit64(1, 7, 0, 0)",
}
"""System calls that must be refused, one or more for each family of the profile, as name(arguments)."""


@pytest.fixture(scope="module")
def numbers() -> dict[str, int]:
    """System call numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl)."""
    return {
        "clone": 56, "socket": 41, "ptrace": 101, "syslog": 103, "personality": 135, "modify_ldt": 154,
        "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "mount": 165, "umount2": 166, "swapon": 167,
        "reboot": 169, "sethostname": 170, "iopl": 172, "init_module": 175, "quotactl": 179, "clock_settime": 227,
        "set_mempolicy": 238, "kexec_load": 246, "add_key": 248, "keyctl": 250, "unshare": 272,
        "perf_event_open": 298, "fanotify_init": 300, "prlimit64": 302, "open_by_handle_at": 304, "setns": 308,
        "process_vm_readv": 310, "kcmp": 312, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "fsopen": 430,
    }  # fmt: skip


def test_system_calls_are_refused_by_family(ada: Caller, sandbox: sandbox_pb2.Sandbox, numbers: dict[str, int]) -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *(a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments))
    if result == 0 and number == 56: os._exit(0)
    return ctypes.get_errno() if result == -1 else 0
"""
    for name, probe in FAMILIES.items():
        function, arguments = probe.split("(", 1)
        program += f"print({name!r}, call({numbers[function]}, {arguments}, sep='|')\n"
    answers = dict(line.split("|") for line in ada.python(sandbox.name, program).splitlines())
    assert answers == dict.fromkeys(FAMILIES, "1")  # EPERM, before anything looked at the arguments


def test_every_family_of_the_profile_is_tried() -> None:
    tried = {probe.partition("(")[0] for probe in FAMILIES.values()}
    assert [family for family, calls in seccomp.DENIED.items() if not tried & set(calls.split())] == []


def test_a_call_of_another_table_ends_the_process(
    ada: Caller, sandbox: sandbox_pb2.Sandbox, served: ServedSandboxes
) -> None:
    # int 0x80 with eax = 20, getpid of the 32-bit table: mov eax, 20; int 0x80; ret
    program = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
"""
    done = ada.run(sandbox.name, "python3", "-c", program)
    assert done.ending.signal == 31  # SIGSYS
    assert done.ending.seccomp_killed
    assert "seccomp" in done.ending.detail
    eventually(lambda: any(entry.get("metadata", {}).get("seccomp_killed") for entry in recorded(served)))
    assert done.stdout == b""


def recorded(served: ServedSandboxes) -> list[dict[str, Any]]:
    return leaves(served.state_dir / "audit/journals/sandbox-0")


def test_programs_that_are_no_attack_still_run(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    program = """
import asyncio, multiprocessing, os, socket, subprocess, tempfile, threading
threading.Thread(target=print, args=("thread",)).start()
print(subprocess.run(["sh", "-c", "echo sub | cat"], capture_output=True, text=True).stdout, end="")
a, b = socket.socketpair(); a.send(b"pair"); print(b.recv(9).decode())
with tempfile.NamedTemporaryFile(dir="/tmp") as f: f.write(b"x")
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 8080)
    await asyncio.open_connection("127.0.0.1", 8080); print("loopback")
asyncio.run(main())
print(multiprocessing.get_context("fork").Pool(2).map(abs, [-1, -2]))
print(socket.if_nameindex())
"""
    said = ada.python(sandbox.name, program).split("\n")
    assert said[:-1] == ["thread", "sub", "pair", "loopback", "[1, 2]", "[(1, 'lo')]"]
    assert ada.run(sandbox.name, "node", "-e", "console.log(6 * 7)").stdout == b"42\n"


def test_an_agent_is_nobody_else(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    program = """
import grp, os, pwd
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print([p.pw_name for p in pwd.getpwall()], [g.gr_name for g in grp.getgrall()], pwd.getpwuid(os.getuid()).pw_name)
print(*(status[k].strip() for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")))
print(os.getgroups(), os.environ["HOME"], os.getcwd())
"""
    who, caps, where = ada.python(sandbox.name, program).splitlines()
    assert who == "['root', 'agent'] ['root', 'agent'] agent"
    assert set(caps.split()[:5]) == {"0" * 16}
    assert caps.split()[5:] == ["1", "2"]
    assert where.endswith("/workspace /workspace")


def test_there_is_one_place_on_disk_to_write_to(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    program = """
import os
for path in "/ /usr /etc /run/stockade /opt/stockade /workspace /tmp /dev/shm /dev /proc /sys".split():
    try: open(f"{path}/probe", "w").close(); print(path)
    except OSError: pass
for path in ("/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/run/stockade/control.sock"):
    try: os.rename(path, path + "x"); print(path)
    except OSError: pass
    try: open(path, "a").close(); print(path)
    except OSError: pass
"""
    assert ada.python(sandbox.name, program).split() == ["/workspace", "/tmp", "/dev/shm"]


def test_the_host_is_not_told(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    program = """
import os
for path in ("/proc/meminfo", "/proc/loadavg", "/proc/kallsyms", "/proc/cmdline"):
    try: print(path, len(open(path).read()))
    except OSError: print(path, 0)
for path in ("/sys/devices", "/sys/class", "/sys/block", "/sys/firmware", "/sys/module"):
    print(path, len(os.listdir(path)))
"""
    for line in ada.python(sandbox.name, program).splitlines():
        assert line.endswith(" 0"), line


def test_processors_are_counted_and_not_described(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    told = ada.run(sandbox.name, "cat", "/proc/cpuinfo", "/proc/stat").stdout.decode()
    assert told.count("processor\t:") == 1
    assert "model name\t: unknown\n" in told
    figures = [word for line in told.splitlines() if line.startswith("cpu") for word in line.split()[1:]]
    assert {word for word in figures if word.isdigit()} == {"0"}
    assert ada.run(sandbox.name, "node", "-p", "os.cpus().length").stdout == b"1\n"


def test_the_number_of_cores_is_the_truth(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    assert ada.run(sandbox.name, "nproc").stdout == b"1\n"
    assert ada.python(sandbox.name, "import os; print(os.cpu_count(), len(os.sched_getaffinity(0)))") == "1 1\n"
    assert ada.run(sandbox.name, "node", "-p", "os.availableParallelism()").stdout == b"1\n"


def test_no_core_is_dumped(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    program = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    assert ada.python(sandbox.name, program) == "(0, 0)\n"
    raised = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (1, 1))"
    assert ada.run(sandbox.name, "python3", "-c", raised).ending.exit_code == 1


def test_the_image_has_nothing_to_rise_by(ada: Caller, sandbox: sandbox_pb2.Sandbox) -> None:
    found = ada.run(sandbox.name, "find", "/", "-xdev", "-type", "f", "-perm", "/6000").stdout
    assert found == b""
    for tool in ("apt", "apt-get", "dpkg", "pip", "npm", "cc", "gcc", "ld", "as", "sudo", "docker"):
        assert ada.run(sandbox.name, "sh", "-c", f"command -v {tool}").ending.exit_code != 0, tool


def test_there_is_no_network_but_loopback(ada: Caller, sandbox: sandbox_pb2.Sandbox, served: ServedSandboxes) -> None:
    with socket.socket() as host_listener:
        host_listener.bind(("0.0.0.0", 0))
        host_listener.listen()
        port = host_listener.getsockname()[1]
        host_address = socket.gethostbyname(socket.gethostname())
        targets = {
            "a public address": ("93.184.215.14", 80),
            "a private address": ("10.0.0.1", 80),
            "the host": (host_address if not host_address.startswith("127.") else "192.0.2.2", port),
            "the host's loopback": ("127.0.0.1", port),
            "Docker's bridge": ("172.17.0.1", port),
            "instance metadata": ("169.254.169.254", 80),
        }
        program = f"""
import socket
print([name for _, name in socket.if_nameindex()], open("/proc/net/route").read().count("\\n"))
for name, target in {targets!r}.items():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(socket.AF_INET, kind); s.settimeout(2)
        try: s.connect(target); reached = kind == socket.SOCK_STREAM or target[0] != "127.0.0.1"
        except OSError: reached = False
        print(name, kind.name, reached, sep="|")
"""
        interfaces, *answers = ada.python(sandbox.name, program).splitlines()
    assert interfaces == "['lo'] 1"  # the one line is the table's head
    assert len(answers) == 2 * len(targets)
    for answer in answers:
        assert answer.endswith("|False"), answer
