"""The NAMESPACE tier: sandboxes by bubblewrap, with cgroups of our own making. For hosts without Docker.

An image is a directory below `images`, named like it with each / and : replaced by +. What is known of a sandbox lies
in a file below `state`, so that a restarted service finds what runs.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from stockade_rpckit import threads

from stockade_sandbox.domain.errors import EngineRefused, EngineUnavailable, ImageMissing, MemoryNotKept
from stockade_sandbox.domain.ports import (
    Change,
    Container,
    ContainerState,
    ContainerStatus,
    EngineEvent,
    LogLine,
)
from stockade_sandbox.domain.sandbox import Limits, Tier
from stockade_sandbox.engines import bubblewrap, filters
from stockade_sandbox.engines.control_group import ControlGroup
from stockade_sandbox.views import Views

_POLL_SECONDS = 0.25
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is remembered of a sandbox. `init_started` tells its init from a later process of the same pid."""

    name: str
    image: str
    init_pid: int = 0
    init_started: str = ""


class NamespaceEngine:
    """See `domain.ports.Engine`. One for the service; it needs root for cgroups and users."""

    def __init__(self, state: Path, images: Path) -> None:
        self._state, self._images, self._roots = state, images, Views(state / "roots")
        self._containers: dict[str, Container] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._running: set[str] = set()  # as far as events have told
        self._removed: set[str] = set()

    async def version(self) -> str:
        """See `Engine.version`."""
        if shutil.which("bwrap") is None:
            raise EngineUnavailable("bwrap", "no such program; install bubblewrap")
        done = await threads.run(subprocess.run, ["bwrap", "--version"], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    async def image_digest(self, image: str) -> str:
        """See `Engine.image_digest`. An unpacked image is known by its name alone."""
        self._root(image)
        return image

    async def create(self, container: Container) -> None:
        """See `Engine.create`."""
        await self.version()
        await threads.run(self._create, container)
        self._containers[container.name] = container

    async def start(self, name: str) -> ContainerStatus:
        """See `Engine.start`."""
        container = self._containers.pop(name, None)
        if container is None:
            raise EngineRefused(f"{name} was not created here")
        status = await threads.run(self._start, container)
        self._running.add(name)
        return status

    async def status(self, name: str) -> ContainerStatus | None:
        """See `Engine.status`."""
        return await threads.run(self._status, name)

    async def statuses(self) -> Mapping[str, ContainerStatus]:
        """See `Engine.statuses`."""
        return await threads.run(self._statuses)

    async def pause(self, name: str) -> None:
        """See `Engine.pause`."""
        await threads.run(self._freeze, name, True)

    async def resume(self, name: str) -> None:
        """See `Engine.resume`."""
        await threads.run(self._freeze, name, False)

    async def update(self, name: str, limits: Limits) -> None:
        """See `Engine.update`."""
        try:
            await threads.run(ControlGroup(name).limit, limits)
        except OSError as error:
            raise EngineRefused(str(error)) from error

    async def remove(self, name: str) -> None:
        """See `Engine.remove`."""
        self._containers.pop(name, None)
        await threads.run(self._remove, name)

    async def checkpoint(self, name: str, directory: Path) -> None:
        """See `Engine.checkpoint`."""
        raise MemoryNotKept(Tier.NAMESPACE)

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """See `Engine.events`. Nobody tells: it looks four times a second."""
        yield EngineEvent(Change.CONNECTED)
        while True:
            found = await self.statuses()
            now = {name for name, status in found.items() if status.init_pid}
            died, removed = self._running - now, self._removed
            self._running, self._removed = now, set()
            for name in sorted(died):
                yield EngineEvent(Change.DIED, name)
            for name in sorted(removed):
                yield EngineEvent(Change.REMOVED, name)
            await asyncio.sleep(_POLL_SECONDS)

    async def logs(self, name: str, tail: int, follow: bool) -> AsyncGenerator[LogLine, None]:
        """See `Engine.logs`. Both streams are one here, and a line's time is when it was read."""
        path = self._file(name, "log")
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        read = sum(map(len, lines))
        for line in lines[-tail:] if tail else lines:
            yield LogLine(path.stat().st_mtime, stderr=True, data=line)
        while follow and path.exists():
            await asyncio.sleep(_POLL_SECONDS)
            content = path.read_bytes()[read:] if path.exists() else b""
            read += len(content)
            for line in content.splitlines(keepends=True):
                yield LogLine(time.time(), stderr=True, data=line)

    # --- what blocks

    def _create(self, container: Container) -> None:
        root = self._root(container.image)
        for mount in container.mounts:
            if not mount.source.exists():
                raise EngineRefused(f"{mount.source} is not there to be mounted")
        for path, directory in bubblewrap.mount_points(container):
            _make_point(root / path.lstrip("/"), directory)
        try:
            ControlGroup(container.name).make(container.limits, container.cpus)
        except OSError as error:
            raise EngineRefused(f"its cgroup cannot be made: {error}") from error
        try:
            self._roots.show(root, container.name)
        except OSError as error:
            raise EngineRefused(f"its root cannot be mounted: {error}") from error
        self._state.mkdir(parents=True, exist_ok=True)
        self._remember(_Known(name=container.name, image=container.image))

    def _start(self, container: Container) -> ContainerStatus:
        process, init_pid = self._spawn(container)
        self._processes[container.name] = process
        started = _start_time(init_pid)
        if not started:
            detail = self._file(container.name, "log").read_text(errors="replace").strip()[-300:]
            raise EngineRefused(detail or "its init process ended at once")
        if not container.host_network:
            _open_low_ports(init_pid)
        self._remember(_Known(name=container.name, image=container.image, init_pid=init_pid, init_started=started))
        status = self._status(container.name)
        assert status is not None
        return status

    def _spawn(self, container: Container) -> tuple[subprocess.Popen[bytes], int]:
        """Starts bubblewrap and reads which process its init is; 0 when it did not come so far."""
        reader, writer = os.pipe()
        seccomp = os.memfd_create("seccomp")
        os.write(seccomp, filters.program())
        os.lseek(seccomp, 0, os.SEEK_SET)
        outfit = bubblewrap.Outfit(
            root=self._roots.place(container.name),
            empty=self._file(container.name, "empty"),
            entrances=ControlGroup(container.name).entrances(),
            info=writer,
            seccomp=seccomp,
        )
        outfit.empty.touch()
        try:
            with self._file(container.name, "log").open("wb") as log:
                process = subprocess.Popen(
                    bubblewrap.command(container, outfit),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    pass_fds=(writer, seccomp), start_new_session=True,
                )  # fmt: skip
        finally:
            os.close(writer)
            os.close(seccomp)
        with os.fdopen(reader, "rb") as told:
            answer = told.read()
        return process, int(json.loads(answer)["child-pid"]) if answer else 0

    def _status(self, name: str) -> ContainerStatus | None:
        known = self._recall(name)
        if known is None:
            return None
        group = ControlGroup(name)
        state, init_pid, exit_code = ContainerState.CREATED, 0, 0
        if known.init_pid:
            if _start_time(known.init_pid) == known.init_started:
                state, init_pid = ContainerState.RUNNING, known.init_pid
                if group.frozen():
                    state = ContainerState.PAUSED
            else:
                state, exit_code = ContainerState.EXITED, self._exit_code(name)
        return ContainerStatus(
            name=name,
            state=state,
            init_pid=init_pid,
            exit_code=exit_code,
            out_of_memory=state is ContainerState.EXITED and group.oom_kills() > 0,
            image_digest=known.image,
        )

    def _statuses(self) -> Mapping[str, ContainerStatus]:
        names = [path.stem for path in self._state.glob("*.json")] if self._state.is_dir() else []
        found = {name: self._status(name) for name in names}
        return {name: status for name, status in found.items() if status is not None}

    def _freeze(self, name: str, wanted: bool) -> None:
        status = self._status(name)
        if status is None or not status.init_pid:
            raise EngineRefused(f"{name} does not run")
        ControlGroup(name).freeze(wanted)

    def _remove(self, name: str) -> None:
        known = self._recall(name)
        try:
            ControlGroup(name).remove()
        except (OSError, TimeoutError) as error:
            raise EngineRefused(str(error)) from error
        process = self._processes.pop(name, None)
        if process is not None:
            process.wait(_START_SECONDS)
        self._roots.drop(name)
        for kind in ("json", "log", "empty"):
            self._file(name, kind).unlink(missing_ok=True)
        if known is not None:
            self._removed.add(name)

    def _exit_code(self, name: str) -> int:
        """What its init ended with, if this service started it; else it is not known, and 137 stands for that."""
        process = self._processes.get(name)
        code = process.poll() if process is not None else None
        return 128 + signal.SIGKILL if code is None else code if code >= 0 else 128 - code

    def _root(self, image: str) -> Path:
        root = self._images / image.replace("/", "+").replace(":", "+")
        if not root.is_dir() or root.parent != self._images:
            raise ImageMissing(image)
        return root.resolve()

    def _file(self, name: str, kind: str) -> Path:
        return self._state / f"{name}.{kind}"

    def _remember(self, known: _Known) -> None:
        path = self._file(known.name, "json")
        path.with_suffix(".new").write_text(json.dumps(asdict(known)))
        path.with_suffix(".new").rename(path)

    def _recall(self, name: str) -> _Known | None:
        try:
            return _Known(**json.loads(self._file(name, "json").read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks; nothing when there is none, or only what is left of it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _make_point(path: Path, directory: bool) -> None:
    """Something to mount on, in the image's own directory, where it is not there yet."""
    if path.exists() or path.is_symlink():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if directory:
        path.mkdir()
    else:
        path.touch()


def _open_low_ports(init_pid: int) -> None:
    """Lets the supervisor's doors listen on 53, 80 and 443: a Docker container's own setting."""
    setting = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    with suppress(subprocess.SubprocessError):
        subprocess.run(
            ["nsenter", f"--net=/proc/{init_pid}/ns/net", "sh", "-c", f"echo 0 > {setting}"], check=True, timeout=5
        )
