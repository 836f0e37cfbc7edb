"""A real container with the real supervisor in it, started by hand: for tests of supervision that need no service."""

import asyncio
import contextlib
import functools
import io
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from stockade_sandbox.domain.ending import Ending
from stockade_sandbox.domain.execution import Command
from stockade_sandbox.supervision import (
    RUN_DIR,
    SUPERVISOR_DIR,
    Fate,
    Supervision,
    identity_files,
    supervisor_command,
)
from stockade_sandbox.supervision.execution import Execution
from stockade_sandbox.supervision.output import Gap, Piece

from support.engine import ROOT
from support.engine import SUPERVISOR_DIR as SUPERVISOR_FOLDER

UID = 1_900_001
IMAGE = "stockade-test/busybox"

PYTHON = (*supervisor_command()[:-1],)
"""The interpreter of the supervisor's folder, for programs of tests in images that have none."""


@functools.cache
def engine_address() -> str:
    """The address of the engine that runs; tests start it by the `engine` fixture."""
    script = str(ROOT / "deploy/host/engine")
    return subprocess.run([script, "status"], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def docker(*args: str, stdin: bytes | None = None) -> str:
    """Runs the docker client on that engine."""
    answer = subprocess.run(
        ["docker", "-H", engine_address(), *args], input=stdin, capture_output=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr.decode()
    return answer.stdout.decode().strip()


@functools.cache
def supervisor_folder() -> Path:
    """The folder with the supervisor, built if need be."""
    subprocess.run([ROOT / "deploy/images/supervisor/build", SUPERVISOR_FOLDER], check=True, timeout=300)
    return SUPERVISOR_FOLDER.resolve()


@functools.cache
def busybox_image() -> str:
    """An image that holds a static busybox and nothing else."""
    if docker("image", "ls", "-q", IMAGE):
        return IMAGE
    busybox = shutil.which("busybox")
    assert busybox, "install busybox-static"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for directory in ("bin", "tmp", "proc", "dev", "sys", "etc", "run", "workspace"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        archive.add(busybox, "bin/busybox")
        for applet in subprocess.check_output([busybox, "--list"], text=True).split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                archive.addfile(entry)
    docker("import", "-", IMAGE, stdin=content.getvalue())
    return IMAGE


@dataclass
class Watchman:
    """A keeper that remembers what it was asked to end, and removes the container as the service would."""

    containers: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)

    async def end(self, sandbox: str, why: str) -> None:
        self.ended[sandbox] = why
        await asyncio.to_thread(docker, "rm", "-f", self.containers[sandbox])

    async def fate(self, sandbox: str) -> Fate:
        try:
            state = await asyncio.to_thread(
                docker, "inspect", "-f", "{{.State.Running}} {{.State.OOMKilled}}", self.containers[sandbox]
            )
        except AssertionError:
            return Fate(running=False, detail="there is no such container")
        running, out_of_memory = state.split()
        return Fate(running=running == "true", out_of_memory=out_of_memory == "true")


@dataclass
class Result:
    """A program's whole output and ending."""

    stdout: bytes
    stderr: bytes
    ending: Ending
    gaps: int = 0


@dataclass
class Sandbox:
    """A running container under supervision."""

    name: str
    container: str
    init_pid: int
    directory: Path
    supervision: Supervision
    keeper: Watchman

    async def run(self, *args: str, stdin: bytes | None = None, **options: object) -> Result:
        """Runs a program to its end."""
        execution = await self.supervision.start(self.name, Command(args=args, **options))  # type: ignore[arg-type]
        if stdin is not None:
            await execution.write(stdin)
        execution.close_input()
        return await collect(execution)

    async def python(self, program: str, **options: object) -> Result:
        """Runs a Python program on the interpreter of the supervisor's folder."""
        return await self.run(*PYTHON, "-c", program, **options)


async def collect(execution: Execution, offset: int = 0) -> Result:
    """All output of an execution and its ending."""
    streams = (bytearray(), bytearray())
    gaps = 0
    async for item in execution.read(offset):
        if isinstance(item, Piece):
            streams[item.stderr].extend(item.data)
        elif isinstance(item, Gap):
            gaps += item.end - item.first
        else:
            return Result(bytes(streams[0]), bytes(streams[1]), item, gaps)
    raise AssertionError("no ending came")


async def working(sandbox: Sandbox) -> int:
    """How many processes it has beside its supervisor and the child that waits for the next exec."""
    listed = (await asyncio.to_thread(docker, "top", sandbox.container, "-o", "pid,ppid,args")).splitlines()[1:]
    rows = [line.split(maxsplit=2) for line in listed]
    init, app = str(sandbox.init_pid), supervisor_command()[-1]
    return sum(pid != init and not (ppid == init and args.endswith(app)) for pid, ppid, args in rows)


@contextlib.asynccontextmanager
async def supervised(
    *,
    doors: bool = False,
    memory: str = "256m",
    pids: int = 128,
    options: tuple[str, ...] = (),
    directory: Path | None = None,
) -> AsyncIterator[Sandbox]:
    """A hardened container whose supervisor is attached; removed at the end, whatever happens."""
    name = "sb-" + secrets.token_hex(6)
    image, folder = busybox_image(), supervisor_folder()
    home = Path(tempfile.mkdtemp(prefix="sup-", dir=os.environ.get("STOCKADE_TEST_DIR")))
    run_dir = directory or home / "run"
    run_dir.mkdir(exist_ok=True)
    os.chmod(home, 0o755)
    keeper = Watchman({name: f"test-{name}"})
    supervision = Supervision(keeper)
    mounts = [f"{run_dir}:{RUN_DIR}:ro", f"{folder}:{SUPERVISOR_DIR}:ro"]
    for place, content in identity_files(UID, UID, name).items():
        file = home / Path(place).name
        file.write_text(content)
        mounts.append(f"{file}:{place}:ro")
    try:
        await supervision.open(name, run_dir, doors=doors)
        container = await asyncio.to_thread(
            docker, "run", "-d", "--name", f"test-{name}", "--network", "none", "--read-only",
            "--user", f"{UID}:{UID}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--memory", memory, "--memory-swap", memory, "--pids-limit", str(pids),
            "--tmpfs", f"/workspace:size=64m,uid={UID},gid={UID},mode=0755,exec", "--workdir", "/workspace",
            *[part for mount in mounts for part in ("-v", mount)],
            *options, "--entrypoint", supervisor_command()[0], image, *supervisor_command()[1:],
        )  # fmt: skip
        pid = int(await asyncio.to_thread(docker, "inspect", "-f", "{{.State.Pid}}", container))
        supervision.expect(name, pid)
        await supervision.attached(name, 10)
        yield Sandbox(name, container, pid, run_dir, supervision, keeper)
    finally:
        await supervision.close(name)
        with contextlib.suppress(AssertionError):
            await asyncio.to_thread(docker, "rm", "-f", f"test-{name}")
        shutil.rmtree(home, ignore_errors=True)
