"""The gate as it is deployed: the service a process, Envoy another, both to be killed, frozen and started."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from stockade.networkpolicy.v1 import gate_service_pb2 as pb
from stockade.networkpolicy.v1 import gate_service_pb2_grpc, policy_pb2, policy_service_pb2
from stockade_cli.stack.process import favour

from support.gate import ENVOY
from support.policy_service import PolicyService, policy_service
from support.proxy import Proxy

MANY = 1_000_000


@dataclass
class GateProcess:
    """Both processes. `environment` holds the gate's settings, `edit` changes Envoy's configuration."""

    service: PolicyService
    environment: dict[str, str]
    edit: Callable[[dict[str, Any]], None] = lambda configuration: None
    envoy: "subprocess.Popen[bytes]" = field(init=False)

    @property
    def run_dir(self) -> Path:
        """Where the sockets are."""
        return self.service.run_dir

    def start_envoy(self) -> None:
        """Envoy, and the wait until its doors are ready."""
        configuration = yaml.safe_load(self._printed("bootstrap"))
        self.edit(configuration)
        (self.run_dir / "gate" / "envoy.yaml").write_text(yaml.safe_dump(configuration))
        self.envoy = subprocess.Popen(json.loads(self._printed("envoy")), stderr=subprocess.DEVNULL)
        favour(self.envoy.pid)
        self.wait_ready()

    def kill_envoy(self) -> None:
        """Envoy's end, frozen or not."""
        self.envoy.kill()
        self.envoy.wait()

    def wait_ready(self, within_s: float = 15.0) -> None:
        """Until the service says that Envoy has every door. Raises AssertionError."""
        deadline = time.monotonic() + within_s
        while self.status() != pb.GATE_STATE_READY:
            assert time.monotonic() < deadline, "the gate is not ready"
            time.sleep(0.02)

    def status(self) -> int:
        """The gate's state; unspecified while the service does not answer."""
        try:
            return self.call("GetGateStatus", pb.GetGateStatusRequest(), timeout=1).state
        except grpc.RpcError:
            return pb.GATE_STATE_UNSPECIFIED

    def call(self, method: str, request: Any, timeout: float = 10) -> Any:
        """One call of GateService, as another service."""
        with grpc.insecure_channel(f"unix:{self.run_dir}/services/policy.sock") as channel:
            return getattr(gate_service_pb2_grpc.GateServiceStub(channel), method)(request, timeout=timeout)

    def open(self, sandbox: str, agent_type: str = "tester") -> Proxy:
        """A sandbox's door."""
        return Proxy(
            Path(self.call("OpenDoor", pb.OpenDoorRequest(door=self.door(sandbox, agent_type))).door.egress_socket)
        )

    def door(self, sandbox: str, agent_type: str = "tester") -> pb.Door:
        """What is asked for it."""
        directory = self.run_dir / "sb" / sandbox
        directory.mkdir(parents=True, exist_ok=True)
        return pb.Door(
            sandbox=sandbox,
            agent=f"agent-{sandbox}",
            agent_type=agent_type,
            egress_socket=f"{directory}/egress.sock",
            api_socket=f"{directory}/api.sock",
            network_mode=pb.NETWORK_MODE_WHITELISTED,
        )

    def allow(self, *domains: str, ports: tuple[int, ...]) -> None:
        """The policy of `tester`, with limits that do not bind."""
        limits = policy_pb2.Limits(requests_per_minute=MANY, requests_per_hour=10 * MANY, burst_size=MANY)
        wanted = policy_pb2.Policy(
            agent_type="tester", allowed_domains=domains, allowed_ports=(80, 443, *ports), limits=limits
        )
        self.service.operator.policies.CreatePolicy(policy_service_pb2.CreatePolicyRequest(policy=wanted))

    def _printed(self, word: str) -> str:
        command = [sys.executable, "-m", "stockade_network_policy", word]
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@contextmanager
def gate_process(
    edit: Callable[[dict[str, Any]], None] = lambda configuration: None,
    service: Mapping[str, str] | None = None,
    **settings: str,
) -> Iterator[GateProcess]:
    """Both processes with these settings of the gate (STOCKADE_GATE_*) and of the `service`; nothing of them stays."""
    given = {f"STOCKADE_GATE_{name.upper()}": value for name, value in settings.items()}
    os.environ.update(given)  # the service's process inherits them
    try:
        with policy_service(**service or {}) as process:
            places = {"STOCKADE_GATE_RUN_DIR": str(process.run_dir), "STOCKADE_GATE_ENVOY": str(ENVOY)}
            running = GateProcess(process, {**given, **places}, edit)
            running.start_envoy()
            try:
                yield running
            finally:
                for each in (running.envoy, process.process):
                    each.send_signal(signal.SIGCONT)
                running.kill_envoy()
    finally:
        for name in given:
            del os.environ[name]
