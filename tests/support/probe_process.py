"""The probe as a process: start it with settings, reach it, end it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PROGRAM = Path(__file__).with_name("probe_service.py")


class ProbeProcess:
    """One probe process and a channel to it."""

    def __init__(self, run_dir: Path, state_dir: Path, **settings: str) -> None:
        environment = {
            "STOCKADE_PROBE_RUN_DIR": str(run_dir),
            "STOCKADE_PROBE_STATE_DIR": str(state_dir),
            "STOCKADE_PROBE_DRAIN_SECONDS": "2",
            **{f"STOCKADE_PROBE_{name.upper()}": value for name, value in settings.items()},
        }
        self.socket = run_dir / "operators" / "ada" / "probe.sock"
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def serving(self) -> grpc.Channel:
        """A channel, once the health service says SERVING."""
        channel = grpc.insecure_channel(f"unix:{self.socket}")
        request = health_pb2.HealthCheckRequest(service="probe.v1.Probe")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, wait_for_ready=True, timeout=15)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        return channel

    def end(self) -> tuple[int, str, str]:
        """SIGTERM, then (exit status, stdout, stderr)."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> tuple[int, str, str]:
        """(exit status, stdout, stderr) of a process that ends by itself."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err
