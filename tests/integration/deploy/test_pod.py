"""A pod's processes as its manifest starts them: its directories, uids, group and settings, without a cluster."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from stockade_cli.stack.accounts import Account
from stockade_cli.stack.launch import command_line

from support.chart import named, needs_helm, rendered

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
PROGRAMS = {"audit": "stockade-auditd", "policy": "stockade-network-policy", "cache": "stockade-embedding-cache"}
STORES = {"STOCKADE_POLICY_LIMITS": "memory", "STOCKADE_CACHE_BACKEND": "memory"}
"""In the place of Redis, which this test is not about."""

pytestmark = [
    needs_helm,
    pytest.mark.skipif(os.geteuid() != 0, reason="switches uids, as a pod's runtime does: run as root"),
]


class Pod:
    """What `kubectl apply` would start of a manifest, in a directory instead of a pod."""

    def __init__(self, name: str, place: Path) -> None:
        self.spec = named(rendered(), "StatefulSet", name)["spec"]["template"]["spec"]
        self.group = self.spec["securityContext"]["fsGroup"]
        self.run, self.state, self.stage = place / "run", place / "state", place / "stage"
        self.stage.mkdir()
        for volume in (self.run, self.state):  # as Kubernetes hands a volume to fsGroup
            volume.mkdir(parents=True)
            os.chown(volume, 0, self.group)
            volume.chmod(0o2775)

    @property
    def services(self) -> list[dict[str, Any]]:
        """Its containers without the Envoys."""
        return [each for each in self.spec["containers"] if each["name"] in PROGRAMS]

    def command(self, container: dict[str, Any], *words: str | Path) -> list[str]:
        """Under the container's uid, in the pod's group, without any capability."""
        uid, gid = container["securityContext"]["runAsUser"], self.spec["securityContext"]["runAsGroup"]
        account = Account(uid, gid, (self.group,))
        return command_line(list(map(str, words)), account, [ROOT], self.stage)

    def prepare(self) -> None:
        """Run the init container that makes the directories."""
        [init] = [each for each in self.spec["initContainers"] if each["name"] == "directories"]
        script = ROOT / "deploy/images/services" / init["command"][0]
        places = {"RUN": str(self.run), "STATE": str(self.state)}
        subprocess.run(self.command(init, script), check=True, env=os.environ | places)

    def environment(self, container: dict[str, Any]) -> dict[str, str]:
        """The container's own, and where this machine has the pod's directories."""
        own = {each["name"]: each["value"].replace("$(NODE)", "pod-0") for each in container["env"] if "value" in each}
        prefix = f"STOCKADE_{container['name'].upper()}"
        places = {f"{prefix}_RUN_DIR": str(self.run), f"{prefix}_STATE_DIR": str(self.state)}
        return {"PATH": os.environ["PATH"], **own} | {n: v for n, v in STORES.items() if n in own} | places

    def start(self, container: dict[str, Any]) -> "subprocess.Popen[bytes]":
        """Its program, named as outside an image."""
        program = self.command(container, BIN / PROGRAMS[container["name"]])
        return subprocess.Popen(program, env=self.environment(container))

    def probe(self, container: dict[str, Any]) -> bool:
        """The container's readiness probe."""
        healthy = [
            sys.executable,
            ROOT / "deploy/images/services/healthy",
            self.run / f"services/{container['name']}.sock",
        ]
        return subprocess.run(self.command(container, *healthy), check=False, stderr=subprocess.DEVNULL).returncode == 0


def wait(container: dict[str, Any], pod: Pod) -> None:
    deadline = time.monotonic() + 30
    while not pod.probe(container):
        assert time.monotonic() < deadline, f"{container['name']} does not serve"


@pytest.fixture(params=["policy", "cache"])
def pod(request: pytest.FixtureRequest, open_dir: Path) -> Iterator[Pod]:
    pod = Pod(request.param, open_dir)
    pod.prepare()
    with ExitStack() as stack:
        for container in pod.services:
            process = stack.enter_context(pod.start(container))
            stack.callback(process.terminate)
        for container in pod.services:
            wait(container, pod)
        yield pod


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that other uids can reach, with a short path."""
    place = Path("/run") / f"pod-{os.getpid()}"
    place.mkdir(mode=0o755)
    yield place
    shutil.rmtree(place)


def ask(socket: Path) -> int:
    """The HTTP status that Envoy would answer an agent's request for a host that no policy knows."""
    request = external_auth_pb2.CheckRequest()
    request.attributes.context_extensions.update({"stockade-agent": "ana", "stockade-agent-type": "tester"})
    http = request.attributes.request.http
    http.method, http.host, http.path, http.scheme = "GET", "evil.test", "/", "http"
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        answer = external_auth_pb2_grpc.AuthorizationStub(channel).Check(request, timeout=5)
    return int(answer.denied_response.status.code)


def recorded(run: Path) -> list[dict[str, Any]]:
    """What the pod's audit daemon has indexed of refusals."""
    command = [BIN / "stockade", "--run-dir", run, "audit", "list", "--action", "BLOCKED", "--json"]
    environment = os.environ | {"STOCKADE_STACK_OPERATOR": "mesh"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return list(json.loads(done.stdout))


def test_it_serves_and_its_record_is_read_by_the_daemon_beside_it(pod: Pod) -> None:
    envoy = pod.run / "services/envoy.sock"
    if envoy.exists():
        assert ask(envoy) == 403
        deadline = time.monotonic() + 5
        while not (found := recorded(pod.run)):
            assert time.monotonic() < deadline
        assert found[0]["domain"] == "evil.test"
    sockets = {path.name for path in (pod.run / "services").iterdir()}
    for service in (container["name"] for container in pod.services):
        assert {f"{service}.sock", f"{service}.metrics.sock"} <= sockets
