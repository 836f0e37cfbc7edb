"""The sandbox service as a process of its own, on a real engine, with everything it made removed at the end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from stockade.sandbox.v1 import (
    exec_service_pb2,
    exec_service_pb2_grpc,
    file_service_pb2_grpc,
    node_service_pb2_grpc,
    profile_service_pb2_grpc,
    sandbox_pb2,
    sandbox_service_pb2,
    sandbox_service_pb2_grpc,
)
from stockade_rpckit.errors import details_of
from stockade_sandbox.engines.docker import SERVICE_LABEL
from stockade_sandbox.settings import Settings
from stockade_sandbox.wiring import service_id

from support import memory
from support.engine import SUPERVISOR_DIR, EngineInUse

START_SECONDS = 20.0
DIRECTORIES = ("operators/ada", "operators/bob", "auditors/eve", "services", "gate", "sb")


class Caller:
    """Whoever calls the service, on one of its sockets, with stubs for each of its services."""

    def __init__(self, socket_path: Path, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self.channel = grpc.intercept_channel(grpc.insecure_channel(f"unix:{socket_path}"), _Headers(metadata))
        self.sandboxes: Any = sandbox_service_pb2_grpc.SandboxServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.profiles: Any = profile_service_pb2_grpc.ProfileServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.nodes: Any = node_service_pb2_grpc.NodeServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.execs: Any = exec_service_pb2_grpc.ExecServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.files: Any = file_service_pb2_grpc.FileServiceStub(self.channel)  # type: ignore[no-untyped-call]

    def create(self, **fields: Any) -> sandbox_pb2.Sandbox:
        """A new sandbox: ISOLATED, of an unknown type, unless `fields` say otherwise."""
        wanted = {"agent": "agent-1", "agent_type": "nobody", "network_mode": "NETWORK_MODE_ISOLATED"} | fields
        return self.sandboxes.CreateSandbox(sandbox_service_pb2.CreateSandboxRequest(**wanted)).sandbox

    def get(self, name: str) -> sandbox_pb2.Sandbox:
        """The sandbox as it is."""
        return self.sandboxes.GetSandbox(sandbox_service_pb2.GetSandboxRequest(name=name)).sandbox

    def run(self, name: str, *arguments: str) -> exec_service_pb2.RunCommandResponse:
        """Run a command in it to its end."""
        command = exec_service_pb2.Command(args=arguments, timeout={"seconds": 60})
        return self.execs.RunCommand(exec_service_pb2.RunCommandRequest(sandbox=name, command=command))

    def python(self, name: str, program: str) -> str:
        """What a Python program prints in it; it must end well."""
        done = self.run(name, "python3", "-c", program)
        assert done.ending.exit_code == 0, done.stderr.decode() + str(done.ending)
        return done.stdout.decode()

    def delete(self, name: str) -> sandbox_pb2.Sandbox:
        """End it."""
        return self.sandboxes.DeleteSandbox(sandbox_service_pb2.DeleteSandboxRequest(name=name)).sandbox


class _Headers(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Puts headers on each call, as the gate's door does for an agent."""

    def __init__(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._metadata = metadata

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details._replace(metadata=[*(details.metadata or ()), *self._metadata]), request)

    intercept_unary_stream = intercept_unary_unary


@dataclass
class ServedSandboxes:
    """A running service: its directories, its process, and whoever calls it."""

    root: Path
    engine: EngineInUse
    settings: Mapping[str, object]
    process: subprocess.Popen[bytes] | None = None
    callers: list[Caller] = field(default_factory=list)

    @property
    def tier(self) -> str:
        """The tier of its sandboxes."""
        return str(self.settings.get("tiers", "RUNC"))

    @property
    def run_dir(self) -> Path:
        """Its sockets."""
        return self.root / "run"

    @property
    def state_dir(self) -> Path:
        """What outlives it."""
        return self.root / "state"

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self.root / "log").read_text()

    def start(self) -> None:
        """Start it and wait until it serves."""
        for directory in DIRECTORIES:
            (self.run_dir / directory).mkdir(parents=True, exist_ok=True)
        told = {
            "run_dir": self.run_dir,
            "state_dir": self.state_dir,
            "engine": self.engine.address,
            "supervisor_dir": SUPERVISOR_DIR,
            # Several services share this host: no two may give the same uid.
            "uid_base": 1_900_000_000 + os.getpid() % 100_000 * 1000,
            "uid_count": 1000,
            "warm": "",  # what is there shall be what a test made
            **self.settings,
        }
        environment = os.environ | {f"STOCKADE_SANDBOX_{name.upper()}": str(value) for name, value in told.items()}
        with (self.root / "log").open("ab") as log:
            command = [sys.executable, "-m", "stockade_sandbox"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._wait_until_serving()

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more, nothing was put in order."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM: it drains. Its sandboxes run on."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(15)

    def operator(self, person: str = "ada") -> Caller:
        """A person who runs the place."""
        return self._caller(f"operators/{person}")

    def auditor(self) -> Caller:
        """A person who reads the record."""
        return self._caller("auditors/eve")

    def service(self) -> Caller:
        """Another service."""
        return self._caller("services")

    def agent(self, agent: str, sandbox: str, agent_type: str = "nobody") -> Caller:
        """An agent, as the gate's door lets it in."""
        headers = {"sandbox": sandbox, "agent": agent, "agent-type": agent_type}
        return self._caller("gate", tuple((f"x-stockade-{key}", value) for key, value in headers.items()))

    def containers(self) -> set[str]:
        """Names of the containers that are its own, in any state; none where there is no engine."""
        label = f"label={SERVICE_LABEL}={service_id(Settings(state_dir=self.state_dir))}"
        return set(self.engine.docker("ps", "--all", "--filter", label, "--format", "{{.Names}}", check=False).split())

    def clear(self) -> None:
        """End it, and remove whatever of it is left, however it ended."""
        for caller in self.callers:
            caller.channel.close()
        if self.process and self.process.poll() is None:
            self.kill()
        for container in self.containers():
            self.engine.docker("rm", "--force", "--volumes", container, check=False)
        for mount in mounts_below(self.root):
            subprocess.run(["umount", "--lazy", mount], check=True)
        shutil.rmtree(self.root)

    def _caller(self, place: str, metadata: tuple[tuple[str, str], ...] = ()) -> Caller:
        caller = Caller(self.run_dir / place / "sandbox.sock", metadata)
        self.callers.append(caller)
        return caller

    def _wait_until_serving(self) -> None:
        assert self.process
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.run_dir / "gate/sandbox.sock"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the service did not start: {self.log}")
            time.sleep(0.02)


@contextmanager
def served_sandboxes(engine: EngineInUse, **settings: object) -> Iterator[ServedSandboxes]:
    """The service with `settings`, for as long as the block runs."""
    # A socket's path ends at 107 bytes, so its root is not below pytest's long directories. An engine that sees a part
    # of the host only, says by STOCKADE_TEST_DIR which.
    root = Path(tempfile.mkdtemp(prefix="stk-", dir=os.environ.get("STOCKADE_TEST_DIR")))
    served = ServedSandboxes(root, engine, settings)
    with memory.record_of(served.state_dir):
        try:
            served.start()
            yield served
        finally:
            served.clear()


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    """How the service refused `call`."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return details_of(caught.value)


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """What `condition` comes to, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return found


def mounts_below(directory: Path) -> list[str]:
    """Mount points under `directory`, the deepest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
