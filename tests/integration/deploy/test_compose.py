"""deploy/compose, on this machine's engine: brought up from images that are built here, worked in, and taken down."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from support.stack import ALLOWED, REFUSED, Stack, short_directory, world

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "deploy/compose"
BINARY = ROOT / ".tools/bin/compose"
SERVICES = ("sandbox", "policy", "cache", "audit")
TRIAL = """
services:
  gate: {network_mode: host, networks: !reset [], healthcheck: {interval: 2s}}
"""
"""The test's origin listens on this machine's loopback, which a container of its own network does not reach."""

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="scripts/tools installs compose")


def run(*words: str | Path, **environment: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=os.environ | environment, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def secrets() -> Iterator[Path]:
    with short_directory() as directory:
        run(COMPOSE / "secrets", directory)
        yield directory


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "offline.yaml")], ids=len)
def test_compose_takes_it(files: Sequence[str], secrets: Path) -> None:
    words = [word for name in files for word in ("-f", str(COMPOSE / name))]
    whole = run(BINARY, *words, "--profile", "observability", "config", STOCKADE_SECRETS=str(secrets))
    for name, service in yaml.safe_load(whole)["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
        assert service["mem_limit"], name
        assert not service["image"].endswith(":latest") or len(files) == 2, name
    assert {"stores", "telemetry"} == {
        name for name, network in yaml.safe_load(whole)["networks"].items() if network.get("internal")
    }


def test_secrets_are_made_once(secrets: Path) -> None:
    before = (secrets / "postgres").read_text()
    run(COMPOSE / "secrets", secrets)
    assert (secrets / "postgres").read_text() == before
    assert (secrets / "pgpass").read_text() == f"*:*:*:stockade:{before}\n"
    assert secrets.stat().st_mode & 0o777 in (0o700, 0o755)


@contextmanager
def shared(directory: Path) -> Iterator[Path]:
    """A directory whose mounts are seen by containers and the other way: what systemd makes of all."""
    run("mount", "--bind", directory, directory)
    run("mount", "--make-shared", directory)
    try:
        yield directory
    finally:
        run("umount", "--lazy", directory)


@pytest.fixture
def composed(secrets: Path) -> Iterator[Stack]:
    """The whole of it, with observability, under a name of its own."""
    run(ROOT / "scripts/images", "services")
    run(ROOT / "deploy/images/stores/build")
    address = f"127.{60 + os.getpid() % 40}.{os.getpid() // 40 % 250}"
    with ExitStack() as stack:
        run_dir = stack.enter_context(shared(stack.enter_context(short_directory())))
        state_dir = stack.enter_context(short_directory())
        outer = stack.enter_context(world([f"{address}.{number}" for number in (1, 2, 3)]))
        engine = os.environ["DOCKER_HOST"]
        settings = {
            "STOCKADE_RUN_DIR": str(run_dir),
            "STOCKADE_STATE_DIR": str(state_dir),
            "STOCKADE_SECRETS": str(secrets),
            "STOCKADE_DOCKER_SOCKET": engine.removeprefix("unix://"),
            "STOCKADE_HEALTH_INTERVAL": "3s",
            "STOCKADE_SANDBOX_WARM": "",
            "STOCKADE_GATE_PRODUCTION": "false",
            "STOCKADE_GATE_EXCEPTIONS": outer.exceptions,
            "STOCKADE_GATE_RESOLVERS": outer.zone.address,
        }
        trial = secrets / "trial.yaml"
        trial.write_text(TRIAL)
        files = ("-f", COMPOSE / "compose.yaml", "-f", COMPOSE / "offline.yaml", "-f", trial)
        compose = (BINARY, "-p", f"stockade-test-{os.getpid()}", *files, "--profile", "observability")
        stack.callback(run, *compose, "down", "--volumes", **settings)
        run(*compose, "up", "--detach", "--wait", **settings)
        sockets = run_dir / "operators/mesh"
        address_of_each = ",".join(f"{service}=unix:{sockets}/{service}.sock" for service in SERVICES)
        environment = {"STOCKADE_STACK_RUN_DIR": str(run_dir), "STOCKADE_STACK_ADDRESS": address_of_each}
        yield Stack(run_dir, state_dir, environment, outer)


FETCH = """
import urllib.error, urllib.request
for name in {names}:
    try:
        print(urllib.request.urlopen(f"http://{{name}}/", timeout=20).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


@pytest.mark.long
@pytest.mark.docker
@pytest.mark.timeout(900)  # builds images first
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts, as the sandbox service does: run as root")
def test_the_main_job_runs_through_it(composed: Stack) -> None:
    with composed.sandbox("composed") as name:
        fetched = composed.stockade(
            "sandbox", "exec", name, "--", "python3", "-c", FETCH.format(names=(ALLOWED, REFUSED))
        )
        assert fetched.stdout.split() == ["200", "403"], fetched.stderr
        assert composed.origin.heads
    domains = {entry["domain"]: entry["action"] for entry in composed.entries("composed") if entry.get("domain")}
    assert domains[REFUSED] == "BLOCKED"
    assert ALLOWED in domains
    assert composed.stockade("cache", "stats").returncode == 0
    verified = composed.stockade("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
