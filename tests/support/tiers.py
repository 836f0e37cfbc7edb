"""A sandbox service in each tier, with the same small image; what this machine cannot have is skipped and named."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stockade.sandbox.v1 import sandbox_service_pb2

from support.engine import ROOT, SUPERVISOR_DIR, EngineInUse
from support.sandbox_service import ServedSandboxes, served_sandboxes
from support.supervised import IMAGE, busybox_image

TIERS = ("RUNC", "GVISOR", "NAMESPACE")


@functools.cache
def gvisor_missing(address: str) -> str:
    """Why an engine has no gVisor, after trying to give it to the project's own; nothing where it has."""
    subprocess.run([ROOT / "deploy/host/runsc", "fetch"], check=False, timeout=300)
    subprocess.run([ROOT / "deploy/host/engine", "start"], check=False, capture_output=True, timeout=60)
    command = ["docker", "--host", address, "info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30).stdout.split()
    return "" if "runsc" in found else f"the engine at {address} has no runtime runsc: deploy/host/runsc fetch"


def require(tier: str, engine: EngineInUse) -> None:
    """Skips the test where this machine cannot have the tier, and says why."""
    if tier == "GVISOR" and (why := gvisor_missing(engine.address)):
        pytest.skip(why)
    if tier == "NAMESPACE" and (os.geteuid() != 0 or not shutil.which("bwrap")):
        pytest.skip("tier NAMESPACE needs root, and bubblewrap on the path")


@contextmanager
def served_in(tier: str, engine: EngineInUse, roots: Path, **settings: object) -> Iterator[ServedSandboxes]:
    """A service of that tier alone, whose image holds a static busybox; `roots`: where NAMESPACE has its images."""
    require(tier, engine)
    told: dict[str, object] = {"tiers": tier, "default_image": f"{IMAGE}:latest", **settings}
    if tier == "NAMESPACE":
        subprocess.run([ROOT / "deploy/images/supervisor/build", SUPERVISOR_DIR], check=True, timeout=300)
        _unpack_busybox(roots / f"{IMAGE.replace('/', '+')}+latest")
        told |= {"accept_lower_tier": True, "namespace_images": roots}
        engine = EngineInUse("unix:///run/no-engine.sock")  # which it does without
    else:
        busybox_image()
    with served_sandboxes(engine, **told) as served:
        yield served
        ada = served.operator()
        for sandbox in ada.sandboxes.ListSandboxes(sandbox_service_pb2.ListSandboxesRequest()).sandboxes:
            ada.delete(sandbox.name)  # NAMESPACE has no engine that would do it


def _unpack_busybox(root: Path) -> None:
    """The same image for a tier without an engine."""
    busybox = shutil.which("busybox")
    assert busybox, "install busybox-static"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
