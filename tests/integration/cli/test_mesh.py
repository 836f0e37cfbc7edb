"""The command by mutual TLS: what it says of a stack that is elsewhere."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.probe_mesh import Mesh, free_port, probe_mesh, spiffe

STOCKADE = Path(sys.executable).with_name("stockade")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with probe_mesh(tmp_path_factory.mktemp("mesh")) as mesh:
        yield mesh


def stockade(mesh: Mesh, address: str, ca: str) -> "subprocess.CompletedProcess[str]":
    pair = mesh.authority.issue("client", spiffe("operator/ada"))
    named = {"ADDRESS": address, "TLS_CA": ca, "TLS_CERT": pair["cert"], "TLS_KEY": pair["key"]}
    environment = os.environ | {f"STOCKADE_STACK_{name}": value for name, value in named.items()}
    words = [STOCKADE, "sandbox", "list"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_what_it_says(mesh: Mesh) -> None:
    there, nowhere = f"localhost:{mesh.port}", f"localhost:{free_port()}"
    cases = {
        "the probe is reached, and is no sandbox service": (there, mesh.authority.file, 1, "upgrade it"),
        "a foreign authority": (there, mesh.foreign.file, 3, "is of no authority that is believed here; name its CA"),
        "nobody there": (nowhere, mesh.authority.file, 3, f"nobody answers at {nowhere}"),
        "no address": ("elsewhere", mesh.authority.file, 2, "'elsewhere' is no host:port and no unix:/path"),
        "no authority": (there, "/nowhere", 3, "/nowhere holds no authority's certificate (PEM)"),
    }
    for case, (address, ca, status, line) in cases.items():
        done = stockade(mesh, address, ca)
        assert (done.returncode, line in done.stderr, done.stderr.count("\n")) == (status, True, 1), (case, done.stderr)
