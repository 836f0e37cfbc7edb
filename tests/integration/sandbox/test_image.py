"""The agent image: what is in it for an agent, and what is not in it to rise by."""

import json
import os
import subprocess

import pytest

from support.engine import AGENT_IMAGE, ROOT, EngineInUse

pytestmark = pytest.mark.docker

ABSENT = ("apt", "apt-get", "dpkg", "pip", "pip3", "npm", "cc", "gcc", "g++", "ld", "as", "make", "sudo")
FIND = "find / -xdev -type f ( -perm -4000 -o -perm -2000 )"


def run(engine: EngineInUse, *command: str, user: str = "") -> str:
    """What a command prints in a container of the image."""
    flags = ["--user", user] if user else []
    return engine.docker("run", "--rm", "--network", "none", *flags, AGENT_IMAGE, *command)


def test_its_configuration_is_unprivileged_and_watched(engine: EngineInUse) -> None:
    config = json.loads(engine.docker("image", "inspect", "--format", "{{json .Config}}", AGENT_IMAGE))
    assert config["User"] == "1001:1001"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert run(engine, "id", "-un") == "agent"


def test_its_bill_of_materials_names_every_package(engine: EngineInUse) -> None:
    told = subprocess.run(
        [ROOT / "deploy/images/agent/build", "--sbom"], capture_output=True, text=True, check=True, timeout=60,
        env=os.environ | {"DOCKER_HOST": engine.address},
    )  # fmt: skip
    packages = dict(line.split() for line in told.stdout.splitlines())
    assert {"python3", "nodejs", "libc6", "ca-certificates"} <= packages.keys()
    count = 'import re; print(len(re.findall("^Package: ", open("/var/lib/dpkg/status").read(), re.M)))'
    assert len(packages) == int(run(engine, "python3", "-c", count))


def test_python_and_node_run(engine: EngineInUse) -> None:
    assert run(engine, "python3", "-c", "print(6 * 7)") == "42"
    assert run(engine, "node", "-p", "6 * 7") == "42"


def test_no_program_is_setuid_or_setgid(engine: EngineInUse) -> None:
    assert run(engine, *FIND.split(), user="0") == ""


def test_there_is_no_package_manager_and_no_compiler(engine: EngineInUse) -> None:
    look = "import shutil, sys; print([name for name in sys.argv[1:] if shutil.which(name)])"
    assert run(engine, "python3", "-c", look, *ABSENT) == "[]"
