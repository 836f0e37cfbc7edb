"""What gVisor's kernel keeps, and what we keep for it: nobody poses as the supervisor, knows its secret, or ends it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from stockade.sandbox.v1 import sandbox_pb2
from stockade.sandbox.v1 import sandbox_service_pb2 as pb
from stockade_sandbox.supervisor import frames

from support import tiers
from support.engine import EngineInUse
from support.sandbox_service import Caller, ServedSandboxes, eventually, served_sandboxes

pytestmark = pytest.mark.docker

MIB = 1 << 20
DIAL = """
import socket, sys, time
said = bytes.fromhex(sys.argv[1])
until = time.time() + float(sys.argv[2])
while time.time() < until:
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(1)
    try:
        caller.connect("/run/stockade/control.sock")
        caller.sendall(said)
        heard = caller.recv(100)
        if heard: print("HEARD", heard, flush=True)
    except OSError:
        pass
    time.sleep(0.01)
"""
FLOOD = """
import socket, time
until, kept = time.time() + 1.5, []
while time.time() < until:
    caller = socket.socket(socket.AF_UNIX)
    caller.setblocking(False)
    try: caller.connect("/run/stockade/control.sock"); caller.send(b"x" * 100); kept.append(caller)
    except OSError: pass
    del kept[:-50]
"""


@pytest.fixture(scope="module")
def served(engine: EngineInUse) -> Iterator[ServedSandboxes]:
    """A service of the GVISOR tier."""
    tiers.require("GVISOR", engine)
    with served_sandboxes(engine, tiers="GVISOR") as running:
        yield running


@pytest.fixture
def ada(served: ServedSandboxes) -> Caller:
    return served.operator()


@pytest.fixture(scope="module")
def sandbox(served: ServedSandboxes) -> str:
    name: str = served.operator().create(limits={"memory_bytes": 256 * MIB, "pids": 100}).name
    return name


def hello(secret: object) -> str:
    """A first frame with a secret, as hex digits."""
    said = {"version": frames.VERSION, "pid": 1, "kept": 0, "started_ns": 0, "secret": secret}
    return frames.encode_json(frames.HELLO, 0, said).hex()


def kept_secrets(served: ServedSandboxes, sandbox: str) -> list[str]:
    """What proves its supervisor now, which the host alone can read."""
    return list(json.loads((served.run_dir / "sandbox/secrets" / sandbox).read_text()))


def test_its_runtime_and_limits_are_gvisors(served: ServedSandboxes, sandbox: str) -> None:
    config = json.loads(served.engine.docker("inspect", "--format", "{{json .HostConfig}}", sandbox))
    assert config["Runtime"] == "runsc"
    assert config["PidsLimit"] >= 256
    assert {"Name": "nproc", "Soft": 100, "Hard": 100} in config["Ulimits"]
    assert (config["NetworkMode"], config["ReadonlyRootfs"], config["CapDrop"]) == ("none", True, ["ALL"])
    pid = served.engine.docker("inspect", "--format", "{{.State.Pid}}", sandbox)
    arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    assert {"--network=none", "--host-uds=open", "--oci-seccomp=true", "--directfs=false"} <= set(arguments)
    assert "Uid:\t65534\t65534\t65534\t65534" in Path(f"/proc/{pid}/status").read_text().splitlines()


def test_the_secret_is_gone_before_any_program_starts(ada: Caller, served: ServedSandboxes) -> None:
    name = ada.create(limits={"memory_bytes": 128 * MIB}).name
    found = ada.run(name, "sh", "-c", "ls /run/stockade; cat /run/stockade/secret; tr '\\0' '\\n' < /proc/1/environ")
    assert b"secret" not in found.stdout
    assert b"No such file" in found.stderr
    assert not [secret for secret in kept_secrets(served, name) if secret.encode() in found.stdout]
    mode = (served.run_dir / "sandbox/secrets" / name).stat()
    assert (mode.st_mode & 0o777, mode.st_uid) == (0o400, 0)
    ada.delete(name)
    assert not (served.run_dir / "sandbox/secrets" / name).exists()


def test_nobody_is_heard_while_the_supervisor_is_on_the_line(
    ada: Caller, served: ServedSandboxes, sandbox: str
) -> None:
    good = eventually(lambda: [each for each in [kept_secrets(served, sandbox)] if len(each) == 1])[0][0]
    for said in (hello("0" * 64), hello(""), hello(None), hello(["x"]), hello(good), b"\xff" * 40):
        text = said if isinstance(said, str) else said.hex()
        assert ada.run(sandbox, "python3", "-c", DIAL, text, "0.3").stdout == b""
    assert ada.run(sandbox, "echo", "mine").stdout == b"mine\n"


def test_a_replayed_secret_opens_nothing_while_the_supervisor_is_away(served: ServedSandboxes) -> None:
    ada = served.operator()
    name = ada.create(limits={"memory_bytes": 256 * MIB}).name
    used = eventually(lambda: [each for each in [kept_secrets(served, name)] if len(each) == 1])[0][0]
    for _ in range(2):  # at the first return of the supervisor it is used, at the second it is good no longer
        served.kill()
        served.start()
        ada = served.operator()
        _until_healthy(ada, name)
    assert used not in kept_secrets(served, name)
    script = f"for said in {hello(used)} {hello('0' * 64)}; do python3 -c '{DIAL}' $said 12 >> heard 2>&1 & done"
    ada.run(name, "sh", "-c", script.replace('"', '"'))
    served.kill()
    served.start()
    ada = served.operator()
    _until_healthy(ada, name)
    assert ada.run(name, "cat", "heard").stdout == b""
    assert ada.get(name).state == sandbox_pb2.SANDBOX_STATE_RUNNING
    ada.delete(name)


def test_a_flood_of_callers_costs_its_own_sandbox_only(ada: Caller, sandbox: str) -> None:
    ada.run(sandbox, "sh", "-c", f"python3 -c '{FLOOD}' > /dev/null 2>&1 &")
    for _ in range(3):
        assert ada.run(sandbox, "true").ending.exit_code == 0


SIGNALS = {
    "kill": "os.kill(1, 9)",
    "kill by 33 bits": "libc.syscall(62, ctypes.c_long((1 << 32) + 1), 9)",
    "kill all": "signal.signal(15, signal.SIG_IGN); os.kill(-1, 15)",
    "tkill": "libc.syscall(200, 1, 9)",
    "tgkill": "libc.syscall(234, 1, 1, 9)",
    "rt_sigqueueinfo": "libc.syscall(129, 1, 9, bytes(128))",
    "stop": "os.kill(1, 19)",
}
REACHES = {
    "ptrace": "check(libc.ptrace(16, 1, 0, 0))",
    "process_vm_readv": "check(libc.syscall(310, 1, bytes(16), 1, bytes(16), 1, 0))",
    "its memory": "open('/proc/1/mem', 'rb')",
    "its working directory": "os.readlink('/proc/1/cwd')",
    "its root": "os.readlink('/proc/1/root')",
    "a namespace": "check(libc.unshare(0x10000000))",
    "a mount": "check(libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0))",
    "its own limits": "resource.setrlimit(resource.RLIMIT_NPROC, (1000, 1000))",
    "the gofer's socket pair": "open('/proc/1/fd/3', 'rb').read(1)",
}
PRELUDE = """
import ctypes, os, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0: raise OSError(ctypes.get_errno(), 'refused')
"""


@pytest.mark.parametrize("line", SIGNALS.values(), ids=SIGNALS)
def test_no_signal_reaches_the_supervisor(ada: Caller, sandbox: str, line: str) -> None:
    ada.run(sandbox, "python3", "-c", PRELUDE + line)
    assert ada.run(sandbox, "echo", "up").stdout == b"up\n"


@pytest.mark.parametrize("line", REACHES.values(), ids=REACHES)
def test_what_is_out_of_reach(ada: Caller, sandbox: str, line: str) -> None:
    done = ada.run(sandbox, "python3", "-c", PRELUDE + line)
    assert (done.ending.exit_code, b"Error" in done.stderr) == (1, True), done


def test_threads_start_though_clone3_is_denied(ada: Caller, sandbox: str) -> None:
    assert (
        ada.python(sandbox, "import threading; t = threading.Thread(target=print, args=('ran',)); t.start()") == "ran\n"
    )


def _until_healthy(caller: Caller, name: str) -> None:
    request = pb.GetSandboxHealthRequest(name=name)
    eventually(lambda: caller.sandboxes.GetSandboxHealth(request).state == sandbox_pb2.HEALTH_STATE_HEALTHY, 15)
