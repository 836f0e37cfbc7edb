"""What the service images are made of: the sources that a service starts from, and the word of its health."""

import asyncio
import os
import re
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
}


@pytest.mark.parametrize("service", STARTS)
def test_a_service_starts_from_what_is_gathered(service: str, tmp_path: Path) -> None:
    place = {"CLONE": str(ROOT), "SOURCE": str(tmp_path)}
    subprocess.run(["/bin/sh", IMAGES / "gather", service], check=True, env=os.environ | place)
    members = {path.name for path in tmp_path.iterdir() if path.name.startswith("stockade_")}
    own = {"audit": set(), "policy": {"stockade_network_policy"}, "cache": {"stockade_embedding_cache"}}[service]
    assert members == {"stockade_audit", "stockade_rpckit", *own}

    words, code, said = STARTS[service]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path),
        "STOCKADE_CACHE_NONSENSE": "1",
    }
    done = subprocess.run([tmp_path / "serve", *words], check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


def test_what_is_no_service_has_no_image(tmp_path: Path) -> None:
    place = {"CLONE": str(ROOT), "SOURCE": str(tmp_path)}
    command = ["/bin/sh", IMAGES / "gather", "sandbox"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | place)
    assert done.returncode == 2
    assert "audit, policy or cache" in done.stderr


def test_what_the_image_copies_is_in_the_repository() -> None:
    text = (IMAGES / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?:--chmod=\d+ )?(\S+) ", text, re.MULTILINE)
    assert [path for path in copied if not path.startswith("--from") and not (ROOT / path).exists()] == []


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
