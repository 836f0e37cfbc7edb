"""An earlier commit of this repository, made to run: its own sources, with the packages and programs of this clone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.engine import SUPERVISOR_DIR
from support.stack import ROOT, STOCKADE, short_directory

_PARTS = ("libs", "services", "deploy")


@dataclass(frozen=True)
class Release:
    """A program `stockade`, with the others beside it, and the folder that its sandboxes have their supervisor from."""

    program: Path
    supervisor: Path


SUPERVISOR = "STOCKADE_SANDBOX_SUPERVISOR_DIR"
TODAY = Release(STOCKADE, SUPERVISOR_DIR)


@contextmanager
def release(commit: str) -> Iterator[Release]:
    """The release of a commit while the block runs; skips where this clone does not have it."""
    with short_directory() as place:
        _take_out(commit, place)
        (place / ".tools").symlink_to(ROOT / ".tools")
        program = _installed(place)
        supervisor = place / "supervisor"
        subprocess.run([place / "deploy/images/supervisor/build", supervisor], check=True)
        yield Release(program, supervisor)


def _take_out(commit: str, place: Path) -> None:
    archived = subprocess.run(["git", "archive", commit, *_PARTS], cwd=ROOT, capture_output=True)
    if archived.returncode:
        pytest.skip(f"{commit} is not in this clone (git fetch --unshallow brings it): {archived.stderr.decode()}")
    subprocess.run(["tar", "-x", "-C", place], input=archived.stdout, check=True)


def _installed(place: Path) -> Path:
    """Programs that run these sources: an environment without packages of its own, which looks for them in ours."""
    environment = place / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/*/site-packages")
    (ours,) = (ROOT / ".venv").glob("lib/*/site-packages")
    sources = [*place.glob("libs/*/src"), *place.glob("services/*/src")]
    (packages / "release.pth").write_text("\n".join(map(str, [*sources, ours])))
    for script in STOCKADE.parent.glob("stockade*"):
        _, _, rest = script.read_text().partition("\n")
        copy = environment / "bin" / script.name
        copy.write_text(f"#!{environment}/bin/python\n{rest}")
        copy.chmod(0o755)
    return environment / "bin" / STOCKADE.name
