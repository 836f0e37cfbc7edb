"""What the service images are made of: the sources that a service starts from, and the word of its health."""

import asyncio
import os
import re
import runpy
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "deploy/images/services"
STARTS = {
    # What each says when it is not left to serve: code and a part of its words.
    "audit": (["--help"], 0, "stockade-auditd"),
    "policy": (["bootstrap"], 0, "static_resources"),
    "cache": ([], 2, "STOCKADE_CACHE_NONSENSE is not a setting"),
    "sandbox": ([], 2, "STOCKADE_SANDBOX_NONSENSE is not a setting"),
}
OWN = {
    "audit": set[str](),
    "policy": {"stockade_network_policy"},
    "cache": {"stockade_embedding_cache"},
    "sandbox": {"stockade_sandbox"},
}


@pytest.mark.parametrize("service", STARTS)
def test_a_service_starts_from_what_is_gathered(service: str, tmp_path: Path) -> None:
    gathered = gather(service, tmp_path)
    assert gathered.returncode == 0, gathered.stderr
    source = tmp_path / "target/source"
    members = {path.name for path in source.iterdir() if path.name.startswith("stockade_")}
    assert members == {"stockade_audit", "stockade_rpckit", *OWN[service]}

    words, code, said = STARTS[service]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(source),
        f"STOCKADE_{service.upper()}_NONSENSE": "1",
    }
    serve = [tmp_path / "target/serve", *words]
    done = subprocess.run(serve, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


def gather(service: str, place: Path) -> "subprocess.CompletedProcess[str]":
    """Lay it out below `place`, with a pip that fetches nothing: the packages are this environment's."""
    pip = place / "python"
    pip.write_text(
        f'#!/bin/sh\n[ "$2" = pip ] && exec mkdir -p "{place}/target/packages" "{place}/target/over"\n'
        f'exec {sys.executable} "$@"\n'
    )
    pip.chmod(0o755)
    command = ["/bin/sh", IMAGES / "gather", service, ROOT, place / "target"]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | {"PYTHON": str(pip)})


def test_what_is_no_service_has_no_image(tmp_path: Path) -> None:
    done = gather("nonsense", tmp_path)
    assert done.returncode == 2
    assert "audit, policy, cache, sandbox, gate or collector" in done.stderr


def test_the_bill_names_packages_of_both_kinds(tmp_path: Path) -> None:
    bill = runpy.run_path(str(IMAGES / "sbom"))
    status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u9\n\n"
    [libc] = bill["debian"](status + "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n")
    assert libc["purl"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64"
    metadata = tmp_path / "typing_extensions-4.16.0.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.4\nName: typing_extensions\nVersion: 4.16.0\n\nText: of it\n")
    [package] = bill["python"](tmp_path)
    assert package["purl"] == "pkg:pypi/typing-extensions@4.16.0"


def test_what_the_image_copies_is_in_the_repository() -> None:
    text = (IMAGES / "Dockerfile").read_text()
    copied = [path for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for path in line.split()]
    assert len(copied) > 5
    assert [path for path in copied if not (ROOT / path).exists()] == []


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Path, HealthServicer]]:
    server, health, path = grpc.aio.server(), HealthServicer(), tmp_path / "x.sock"
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    yield path, health
    await server.stop(None)


async def test_health(served: tuple[Path, HealthServicer], tmp_path: Path) -> None:
    async def healthy(path: Path) -> tuple[int | None, str]:
        command = (sys.executable, IMAGES / "healthy", path)
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        _, said = await process.communicate()
        return process.returncode, said.decode()

    path, health = served
    await health.set("", health_pb2.HealthCheckResponse.SERVING)
    assert await healthy(path) == (0, "")
    await health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert await healthy(path) == (1, f"healthy: {path} says NOT_SERVING\n")
    nobody = tmp_path / "nobody.sock"
    assert await healthy(nobody) == (1, f"healthy: {nobody} does not answer: UNAVAILABLE\n")
