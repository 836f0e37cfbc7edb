"""What happens to sandboxes by themselves: they expire, idle out, die behind our back, are found again at start."""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import aclosing

from stockade_rpckit.logs import get_logger

from stockade_sandbox.assembly import Assembly
from stockade_sandbox.domain.errors import GateUnavailable, SandboxError, SandboxNotFound
from stockade_sandbox.domain.ports import Change, ContainerState, ContainerStatus, Engine
from stockade_sandbox.domain.sandbox import Reason, Sandbox, State
from stockade_sandbox.lifecycle import Lifecycle
from stockade_sandbox.observation import Observation
from stockade_sandbox.sandboxes import Sandboxes

log = get_logger(__name__)

TICK_SECONDS = 1.0
SWEEP_SECONDS = 30.0
_UP = (ContainerState.RUNNING, ContainerState.PAUSED)


class Upkeep:
    """Crash-only: what it does at start is what it does again and again."""

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        sandboxes: Sandboxes,
        assembly: Assembly,
        engine: Engine,
        observation: Observation,
        keep_ended: float,
    ) -> None:
        """`keep_ended`: seconds for which an ended sandbox is still told of."""
        self._lifecycle, self._sandboxes, self._assembly = lifecycle, sandboxes, assembly
        self._engine, self._observation, self._keep_ended = engine, observation, keep_ended
        self._sweeping = asyncio.Lock()

    async def run_clock(self) -> None:
        """Every second: end what is over, and see to the doors; now and then compare everything with everything."""
        swept_at = -SWEEP_SECONDS
        while True:
            if time.monotonic() - swept_at > SWEEP_SECONDS:
                swept_at = time.monotonic()
                await _tried(self.sweep())
            await _tried(self._expire())
            await _tried(self._see_to_doors())
            await asyncio.sleep(TICK_SECONDS)

    async def run_events(self) -> None:
        """Notice what the engine tells, for ever. After a gap in its telling, compare everything."""
        while True:
            await _tried(self._follow_events())
            await asyncio.sleep(TICK_SECONDS)

    async def _follow_events(self) -> None:
        async with aclosing(self._engine.events()) as events:
            async for event in events:
                if event.change is Change.CONNECTED:
                    await _tried(self.sweep())
                if event.change in (Change.CONNECTED, Change.IMAGES):
                    await _tried(self._lifecycle.pool.refresh())
                else:
                    await _tried(self._notice(event.name))

    async def sweep(self) -> None:
        """Bring registry and host together: adopt what runs, end what does not, remove what is nobody's.

        Raises EngineUnavailable, having changed nothing that hangs on the engine.
        """
        async with self._sweeping:
            statuses = await self._engine.statuses()
            for sandbox in self._sandboxes.present():
                await _tried(self._bring_together(sandbox, statuses.get(sandbox.name)))
            for name in await self._assembly.names():
                if name not in self._names():
                    log.info("removing what is nobody's", extra={"sandbox": name})
                    await _tried(self._assembly.take_down(name, "it belongs to no sandbox"))

    async def _bring_together(self, sandbox: Sandbox, status: ContainerStatus | None) -> None:
        if self._lifecycle.changing(sandbox.name):
            return
        if sandbox.state is State.WARM:
            if not self._lifecycle.pool.owns(sandbox.name):  # a service's that died
                await self._lifecycle.pool.discard(sandbox.name)
        elif sandbox.state is State.STARTING:
            # Half made by a service that died: its caller has got an error.
            await self._lifecycle.expire(sandbox.name, Reason.START_FAILED, "the service went away while it started")
        elif sandbox.state is State.ENDING:
            await self._lifecycle.expire(sandbox.name, sandbox.reason, sandbox.message)
        elif status is None or status.state not in _UP:
            await self._lifecycle.notice_death(sandbox.name)
        elif not self._observation.attended(sandbox.name):
            await self._adopt(sandbox)

    async def _adopt(self, sandbox: Sandbox) -> None:
        """Take over what ran before this service did; what died in the same moment is noticed by its event."""
        status = await self._engine.status(sandbox.name)
        if status and status.init_pid:
            await self._assembly.adopt(sandbox, status)

    async def _see_to_doors(self) -> None:
        """The gate forgets doors when it restarts, and keeps those whose closing it did not hear of."""
        try:
            doors = await self._assembly.doors()
        except GateUnavailable:
            return
        for sandbox in self._sandboxes.living():
            if sandbox.name not in doors and sandbox.state in (State.RUNNING, State.PAUSED):
                await _tried(self._open_door(sandbox))
        for name in doors - self._names():
            await _tried(self._assembly.close_door(name))

    async def _open_door(self, sandbox: Sandbox) -> None:
        gated = await self._assembly.open_door(sandbox)
        if gated != sandbox.gated:
            await self._sandboxes.change(sandbox.name, gated=gated)

    def _names(self) -> set[str]:
        return {sandbox.name for sandbox in self._sandboxes.present()}

    async def _expire(self) -> None:
        now = time.time()
        for sandbox in self._sandboxes.living():
            if sandbox.state in (State.RUNNING, State.PAUSED):
                await _tried(self._expire_one(sandbox, now))
        old = [s.name for s in self._sandboxes.all() if s.ended_at and s.ended_at + self._keep_ended < now]
        await self._sandboxes.forget(*old)

    async def _expire_one(self, sandbox: Sandbox, now: float) -> None:
        if now >= sandbox.expires_at:
            await self._lifecycle.expire(sandbox.name, Reason.LIFETIME_OVER, "its lifetime is over")
        elif self._idle_for(sandbox, now) >= sandbox.idle_timeout:
            message = f"nothing happened in it for {sandbox.idle_timeout:g} s"
            await self._lifecycle.expire(sandbox.name, Reason.IDLE, message)

    def _idle_for(self, sandbox: Sandbox, now: float) -> float:
        """Seconds. A command that runs is no idleness, and a paused sandbox was told to stand still."""
        if sandbox.state is State.PAUSED or self._observation.busy(sandbox.name):
            return 0.0
        return now - self._observation.active_at(sandbox)

    async def _notice(self, name: str) -> None:
        try:
            await self._lifecycle.notice_death(name)
        except SandboxNotFound:
            return


async def _tried(work: Awaitable[None]) -> None:
    """Do it; what fails is said, and tried again at the next turn."""
    try:
        await work
    except SandboxError as error:
        log.warning("upkeep waits", extra={"error": str(error)})
    except Exception:
        log.exception("upkeep failed")
