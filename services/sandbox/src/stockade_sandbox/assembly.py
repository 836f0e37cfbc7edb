"""Puts a sandbox together from its parts, and takes it apart: directories, disk, supervision, container, door.

Every part bears the sandbox's name, so that whatever is left of a half-made one can be found and removed by it.
"""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from stockade_rpckit import threads
from stockade_rpckit.logs import get_logger
from stockade_rpckit.tracing import tracer

from stockade_sandbox.domain.errors import EngineRefused, GateUnavailable, SandboxError, StartFailed
from stockade_sandbox.domain.ports import Container, ContainerStatus, Disks, Door, Engine, Gate, Mount
from stockade_sandbox.domain.sandbox import NetworkMode, Sandbox, Tier
from stockade_sandbox.memories import Memories
from stockade_sandbox.places import Places
from stockade_sandbox.supervision import (
    RUN_DIR,
    SUPERVISOR_DIR,
    Supervision,
    SupervisorAbsent,
    identity_files,
    supervisor_command,
)
from stockade_sandbox.supervision.mounts import AGENT_HOME, processor_files
from stockade_sandbox.views import Views

log = get_logger(__name__)

ATTACH_SECONDS = 30.0
LOOK_SECONDS = 1.0
SANDBOX_LABEL = "dev.stockade.sandbox"


class Assembly:
    """Builds, adopts and takes down sandboxes. It knows nothing of states and callers."""

    def __init__(
        self,
        engine: Engine,
        disks: Disks,
        gate: Gate,
        supervision: Supervision,
        places: Places,
        memories: Memories,
        supervisor_folder: Path,
    ) -> None:
        self._engine, self._disks, self._gate = engine, disks, gate
        self.supervision, self._places, self._memories = supervision, places, memories
        self._supervisor_folder, self._views = supervisor_folder, Views(places.supervisors)

    async def build(self, sandbox: Sandbox) -> Sandbox:
        """Make it and wait until commands can run in it; on failure nothing of it is left.

        Returns it with what only the making told: image digest, and whether the gate stands in front.
        Raises ImageMissing, EngineUnavailable, StartFailed, NodeFull, GateUnavailable, DomainNotInPolicy.
        """
        try:
            gated = await self._make_parts(sandbox)
            with tracer().start_as_current_span("sandbox.start"):
                status = await self._engine.start(sandbox.name)
                await self._attach(sandbox, status)
        except BaseException as error:
            await asyncio.shield(self._give_up(sandbox))
            raise _told(error, sandbox) from error
        return replace(sandbox, image_digest=status.image_digest, init_pid=status.init_pid, gated=gated)

    def attached(self, name: str) -> bool:
        """Whether its supervisor is on the line."""
        try:
            return self.supervision.health(name).attached
        except KeyError:
            return False

    async def admit(self, sandbox: Sandbox) -> Sandbox:
        """Give one that waited warm to its agent: its door, and doors inside where it has ways out.

        Raises GateUnavailable, DomainNotInPolicy, StartFailed.
        """
        try:
            gated, _ = await _all(self.open_door(sandbox), self._open_inside(sandbox))
        except SupervisorAbsent as error:
            raise StartFailed(sandbox.image, "its supervisor went away") from error
        return replace(sandbox, gated=bool(gated))

    async def adopt(self, sandbox: Sandbox, status: ContainerStatus) -> None:
        """Take over one that runs since before this service started; its supervisor dials again by itself.

        Raises OSError, SupervisorAbsent.
        """
        await threads.run(lambda: list(self._places.furnish(sandbox.name, {})))
        await self._listen(sandbox)
        self.supervision.expect(sandbox.name, status.init_pid)

    async def take_down(self, name: str, why: str) -> None:
        """Remove every part of it; parts that are not there are no error.

        Raises EngineUnavailable, with what depends on the container left as it is; call it again then.
        """
        await self.supervision.close(name, why)
        closed = asyncio.ensure_future(self.close_door(name))
        await self._engine.remove(name)
        await self._disks.remove(name)
        await closed
        await threads.run(self._unfurnish, name)

    async def quiesce(self, name: str, patience: float) -> None:
        """Close all that is open between the sandbox and the host, so that its live memory can be kept.

        `patience`: seconds in which programs may let go of connections that the gate has cut. Raises SupervisorAbsent.
        """
        await self.close_door(name)
        await asyncio.sleep(patience)
        await self.supervision.quiesce(name)

    async def wake(self, sandbox: Sandbox) -> None:
        """Open again what `quiesce` closed. Where the gate is away, the door opens when it is back."""
        self.supervision.wake(sandbox.name)
        with suppress(GateUnavailable):
            await self.open_door(sandbox)

    async def keep_memory(self, sandbox: Sandbox, snapshot: str, room: int) -> int:
        """Write the live memory of a quiet sandbox; the bytes that it takes. Raises NodeFull, what `checkpoint` raises.

        `room`: bytes that it may take.
        """
        place = self._memories.make(snapshot, room)
        try:
            await self._engine.checkpoint(sandbox.name, place)
        except BaseException:
            self._memories.drop(snapshot)
            raise
        return self._memories.seal(snapshot, self._places.secrets(sandbox.name).good)

    async def open_door(self, sandbox: Sandbox) -> bool:
        """Give it its door, if it has an agent, and tell whether the gate stands in front.

        Where no gate answers, an ISOLATED sandbox works all the same. Raises GateUnavailable, DomainNotInPolicy.
        """
        if not sandbox.agent:
            return False
        try:
            await self._gate.open(self._door(sandbox))
        except GateUnavailable as error:
            if sandbox.network_mode is NetworkMode.WHITELISTED:
                raise
            log.warning("a sandbox has no api.sock", extra={"sandbox": sandbox.name, "error": str(error)})
            return False
        return sandbox.network_mode is not NetworkMode.HOST

    async def change_door(self, sandbox: Sandbox) -> None:
        """Bring door and supervisor to the sandbox's mode and domains. Raises GateUnavailable, DomainNotInPolicy."""
        await self._gate.update(self._door(sandbox))
        with suppress(SupervisorAbsent):  # it is told when it is on the line again; the gate holds already
            await self.supervision.set_doors(sandbox.name, sandbox.network_mode is NetworkMode.WHITELISTED)

    async def close_door(self, name: str) -> None:
        """Take its door. A gate that is away has none open; what it was told is put right when it is back."""
        try:
            await self._gate.close(name)
        except GateUnavailable as error:
            log.warning("a door could not be closed", extra={"sandbox": name, "error": str(error)})

    async def names(self) -> set[str]:
        """Sandboxes that some part exists of, a door aside. Raises EngineUnavailable."""
        directories = await threads.run(self._places.names)
        return directories | await self._disks.names() | set(await self._engine.statuses())

    async def doors(self) -> set[str]:
        """Sandboxes that have a door. Raises GateUnavailable."""
        return await self._gate.doors()

    async def _make_parts(self, sandbox: Sandbox) -> bool:
        """What must be there before the container starts, side by side."""
        furnished = await threads.run(self._furnish, sandbox)
        if sandbox.tier is Tier.GVISOR:
            self._give_secret(sandbox)
        disk = await self._disks.place(sandbox.name)
        with tracer().start_as_current_span("sandbox.prepare"):
            # No part is cancelled for another's failure: work on a thread would go on unseen, and leave its part.
            *_, gated = await _all(
                self._disks.create(sandbox.name, sandbox.limits.disk, sandbox.uid, sandbox.snapshot),
                self._engine.create(self._container(sandbox, disk, furnished)),
                self._listen(sandbox),
                self.open_door(sandbox),
            )
        return bool(gated)

    def _furnish(self, sandbox: Sandbox) -> list[tuple[Path, str]]:
        """What it sees of the host, without its disk: (host's path, path inside)."""
        files = list(self._places.furnish(sandbox.name, _identity(sandbox)))
        supervisor = self._views.show(self._supervisor_folder.resolve(), sandbox.name)
        return [(self._places.sockets(sandbox.name), RUN_DIR), (supervisor, SUPERVISOR_DIR), *files]

    def _unfurnish(self, name: str) -> None:
        self._views.drop(name)
        self._places.clear(name)

    def _give_secret(self, sandbox: Sandbox) -> None:
        """What will prove its supervisor; one that goes on from live memory has it in there."""
        if sandbox.with_memory:
            self._places.secrets(sandbox.name).inherit(self._memories.secrets(sandbox.snapshot))
        else:
            self._places.secrets(sandbox.name).issue(sandbox.uid)

    async def _open_inside(self, sandbox: Sandbox) -> None:
        if sandbox.network_mode is NetworkMode.WHITELISTED:
            await self.supervision.set_doors(sandbox.name, True)

    async def _listen(self, sandbox: Sandbox) -> None:
        doors = sandbox.network_mode is NetworkMode.WHITELISTED
        directory = self._places.sockets(sandbox.name)
        secrets = self._places.secrets(sandbox.name) if sandbox.tier is Tier.GVISOR else None
        await self.supervision.open(sandbox.name, directory, doors=doors, secrets=secrets)

    async def _attach(self, sandbox: Sandbox, status: ContainerStatus) -> None:
        """Wait for its supervisor as long as its init lives. Raises StartFailed."""
        self.supervision.expect(sandbox.name, status.init_pid)
        until = time.monotonic() + ATTACH_SECONDS
        while True:
            try:
                return await self.supervision.attached(sandbox.name, LOOK_SECONDS)
            except SupervisorAbsent as error:
                if why := await self._why_absent(sandbox.name, time.monotonic() > until):
                    raise StartFailed(sandbox.image, why) from error

    async def _why_absent(self, name: str, late: bool) -> str:
        """Why its supervisor does not come; empty while it still may."""
        status = await self._engine.status(name)
        if status and status.init_pid:
            return f"its supervisor did not dial within {ATTACH_SECONDS:g} s" if late else ""
        said = [line.data.decode(errors="replace").strip() async for line in self._engine.logs(name, 1, False)]
        return ": ".join([f"its init process ended with {status.exit_code if status else 'no trace'}", *said])

    async def _give_up(self, sandbox: Sandbox) -> None:
        try:
            await self.take_down(sandbox.name, "it did not start")
        except SandboxError as error:
            log.warning("a failed sandbox is left to upkeep", extra={"sandbox": sandbox.name, "error": str(error)})

    def _container(self, sandbox: Sandbox, disk: Path, furnished: list[tuple[Path, str]]) -> Container:
        return Container(
            name=sandbox.name,
            image=sandbox.image,
            uid=sandbox.uid,
            limits=sandbox.limits,
            cpus=sandbox.cpus,
            host_network=sandbox.network_mode is NetworkMode.HOST,
            command=tuple(supervisor_command()),
            working_dir=AGENT_HOME,
            tier=sandbox.tier,
            memory=self._memories.place(sandbox.snapshot) if sandbox.with_memory else None,
            labels={SANDBOX_LABEL: sandbox.name},
            mounts=(
                *(Mount(source, target) for source, target in furnished),
                Mount(disk, AGENT_HOME, read_only=False),
            ),
        )

    def _door(self, sandbox: Sandbox) -> Door:
        directory = self._places.sockets(sandbox.name)
        return Door(
            sandbox=sandbox.name,
            agent=sandbox.agent,
            agent_type=sandbox.agent_type,
            network_mode=sandbox.network_mode,
            allowed_domains=sandbox.allowed_domains,
            egress_socket=directory / "egress.sock",
            api_socket=directory / "api.sock",
        )


def _identity(sandbox: Sandbox) -> dict[str, str]:
    """Its files in /etc and /proc; on the host's network, names are resolved as the engine hands it on."""
    files = identity_files(sandbox.uid, sandbox.uid, sandbox.name)
    if sandbox.tier is not Tier.GVISOR:  # its kernel answers for itself
        files |= processor_files(len(sandbox.cpus))
    if sandbox.network_mode is NetworkMode.HOST:
        del files["/etc/resolv.conf"], files["/etc/hosts"]
    return files


def _told(error: BaseException, sandbox: Sandbox) -> BaseException:
    """The failure to tell of: the host's own, and the engine's, name the image."""
    if isinstance(error, EngineRefused):
        return StartFailed(sandbox.image, error.detail)
    if isinstance(error, OSError):
        return StartFailed(sandbox.image, str(error))
    return error


async def _all(*parts: Awaitable[Any]) -> list[Any]:
    """What all parts came to, when all have; raises the first that failed."""
    results = await asyncio.gather(*parts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
