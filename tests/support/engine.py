"""A Docker engine with the agent image in it, and the supervisor's folder beside it: built once, found by all tests."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGENT_IMAGE = "stockade/agent:latest"
SUPERVISOR_DIR = Path("/var/lib/stockade/supervisor")


@dataclass(frozen=True)
class EngineInUse:
    """The engine's address, as in DOCKER_HOST."""

    address: str

    def docker(self, *arguments: str, check: bool = True) -> str:
        """The standard output of the `docker` command."""
        command = ["docker", "--host", self.address, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout.strip()


@pytest.fixture(scope="session")
def engine() -> Iterator[EngineInUse]:
    """An engine; one that was started for the tests ends with them."""
    script = str(ROOT / "deploy/host/engine")
    found_running = subprocess.run([script, "status"], capture_output=True).returncode == 0
    address = subprocess.run([script, "start"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    subprocess.run([ROOT / "deploy/images/agent/build"], check=True, timeout=300)
    subprocess.run([ROOT / "deploy/images/supervisor/build", SUPERVISOR_DIR], check=True, timeout=300)
    yield EngineInUse(address)
    if not found_running:
        subprocess.run([script, "stop"], check=True)
