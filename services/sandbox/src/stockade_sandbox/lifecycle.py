"""The life of sandboxes: asked for, running, paused, changed, ended, lost. Each change is durable before it is told."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from stockade_rpckit.logs import get_logger

from stockade_sandbox.assembly import Assembly
from stockade_sandbox.claims import Claims
from stockade_sandbox.cordon import Cordon
from stockade_sandbox.domain import admission, placement
from stockade_sandbox.domain.admission import Plan, Rules
from stockade_sandbox.domain.change import Change, changed
from stockade_sandbox.domain.errors import (
    EtagMismatch,
    SandboxError,
    SandboxNotFound,
    SandboxNotRunning,
)
from stockade_sandbox.domain.ports import ContainerState, Engine, Registry
from stockade_sandbox.domain.profile import Catalogue
from stockade_sandbox.domain.sandbox import (
    Limits,
    NetworkMode,
    Reason,
    Request,
    Sandbox,
    State,
    Tier,
    new_name,
    over,
)
from stockade_sandbox.membership import Membership
from stockade_sandbox.pool import Pool, Shape
from stockade_sandbox.requests import Requests
from stockade_sandbox.sandboxes import Sandboxes
from stockade_sandbox.supervision import Fate, Keeper
from stockade_sandbox.uids import Uids

log = get_logger(__name__)

_REMOVED = "its container was removed"

Ended = Callable[[Sandbox], Awaitable[None]]
"""Records the end of a sandbox that no caller asked for. Raises what keeps it from being durable."""


class Lifecycle:
    """Decides about sandboxes and has them built and taken down. Its methods belong to one event loop."""

    def __init__(
        self,
        *,
        node: str,
        rules: Rules,
        profiles: Catalogue,
        sandboxes: Sandboxes,
        registry: Registry,
        membership: Membership,
        cordon: Cordon,
        assemble: Callable[[Keeper], Assembly],
        engine: Engine,
        uids: Uids,
        warm: Mapping[Shape, int],
        ended: Ended,
    ) -> None:
        self.node, self.rules, self.profiles, self.sandboxes = node, rules, profiles, sandboxes
        self._cordon, self._engine, self._uids = cordon, engine, uids
        self.requests = Requests(registry, sandboxes)
        self.assembly = assemble(self)
        self._ended = ended
        self._cores = sorted(os.sched_getaffinity(0))
        self.pool = Pool(
            wanted=warm,
            sandboxes=sandboxes,
            assembly=self.assembly,
            uids=uids,
            draft=self._draft_member,
            digest_of=engine.image_digest,
        )
        self._claims = Claims(membership, sandboxes, self.pool, uids, rules)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[Sandbox]] = set()

    # --- what callers ask for

    async def create(self, request: Request, owner: str, trace_id: str) -> Sandbox:
        """A running sandbox for `request`; the one made before, when its request_id is known.

        Raises what `admission.plan`, `placement.held_node`, `Claims.elsewhere` and `Assembly.build` raise. When the
        caller goes before it runs, it is ended, unless a request_id lets the caller come back for it.
        """
        if not request.request_id:
            making = self._task(self._create(request, owner, trace_id))
        else:
            making = self.requests.once(
                request, owner, lambda: self._task(self._make_or_find(request, owner, trace_id))
            )
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            if not request.request_id:
                making.add_done_callback(self._abandon)
            raise

    async def pause(self, name: str) -> Sandbox:
        """Freeze it. Raises SandboxNotRunning, EngineUnavailable."""
        async with self._lock(name):
            sandbox = self._in(name, State.RUNNING, State.PAUSED)
            await self._engine.pause(name)
            return await self._to(sandbox, State.PAUSED)

    async def resume(self, name: str) -> Sandbox:
        """Let it run on. Raises SandboxNotRunning, EngineUnavailable."""
        async with self._lock(name):
            sandbox = self._in(name, State.RUNNING, State.PAUSED)
            await self._engine.resume(name)
            self.assembly.supervision.thawed(name)
            return await self._to(sandbox, State.RUNNING)

    async def update(self, name: str, change: Change, etag: str = "") -> Sandbox:
        """Change it as one. Raises SandboxNotRunning, EtagMismatch, and what the change is held to."""
        async with self._lock(name):
            sandbox = self._in(name, State.RUNNING, State.PAUSED)
            _held_etag(sandbox, etag)
            profile, _ = self.profiles.find(sandbox.agent_type)
            wanted = changed(sandbox, change, profile, self.rules, time.time())
            if wanted.limits != sandbox.limits:
                await self._engine.update(name, wanted.limits)
            if _door(wanted) != _door(sandbox):
                wanted = await self._behind_new_door(sandbox, wanted)
            return await self.sandboxes.put(replace(wanted, revision=sandbox.revision + 1))

    async def delete(self, name: str, etag: str = "") -> Sandbox:
        """End it because its caller wants that. An ended one is returned as it is.

        Raises SandboxNotFound, EtagMismatch, EngineUnavailable (it stays ENDING and is tried again).
        """
        _held_etag(self.sandboxes.get(name), etag)
        return await self._end(name, Reason.DELETED, "")

    # --- what happens by itself

    async def expire(self, name: str, reason: Reason, message: str) -> Sandbox:
        """End it because time, the node, or something behind our back did; recorded before it is done."""
        sandbox = self.sandboxes.get(name)
        if sandbox.living:
            await self._ended(replace(sandbox, reason=reason, message=message))
        return await self._end(name, reason, message)

    async def end(self, sandbox: str, why: str) -> None:
        """See `Keeper.end`: its supervisor went away or broke the protocol."""
        try:
            await self.expire(sandbox, *self._diagnosis(await self._fate(sandbox), why))
        except SandboxNotFound:
            return
        except Exception:
            log.exception("a sandbox could not be ended; upkeep tries again", extra={"sandbox": sandbox})

    async def fate(self, sandbox: str) -> Fate:
        """See `Keeper.fate`."""
        try:
            return await self._fate(sandbox)
        except SandboxError as error:
            return Fate(running=False, detail=str(error))

    async def notice_death(self, name: str) -> None:
        """Its container died or is gone: unless we did that, it is lost."""
        if self.sandboxes.get(name).state is State.WARM:
            await self.pool.discard(name)
            return
        if not self.sandboxes.get(name).living or self.changing(name):
            return
        fate = await self._fate(name)
        if not fate.running:
            await self.expire(name, *self._diagnosis(fate, fate.detail))

    @asynccontextmanager
    async def quiet(self, name: str, patience: float) -> AsyncIterator[Sandbox]:
        """It is `still`, and no socket of the host is open in it. Raises SandboxNotRunning, SupervisorAbsent.

        `patience`: see `Assembly.quiesce`.
        """
        async with self._lock(name):
            sandbox = self._in(name, State.RUNNING)
            try:
                await self.assembly.quiesce(name, patience)
                await self._engine.pause(name)
                try:
                    yield sandbox
                finally:
                    await self._engine.resume(name)
            finally:
                await self.assembly.wake(sandbox)

    @asynccontextmanager
    async def still(self, name: str) -> AsyncIterator[Sandbox]:
        """Nothing moves in it and nothing changes of it meanwhile. Raises SandboxNotRunning, EngineUnavailable."""
        async with self._lock(name):
            sandbox = self._in(name, State.RUNNING, State.PAUSED)
            await self._engine.pause(name)
            try:
                yield sandbox
            finally:
                if sandbox.state is State.RUNNING:
                    await self._engine.resume(name)

    def changing(self, name: str) -> bool:
        """Whether its state is just being changed."""
        return name in self._locks and self._locks[name].locked()

    # --- how

    def _lock(self, name: str) -> asyncio.Lock:
        """Held while a sandbox changes its state. Raises SandboxNotFound, so that no stranger's name takes room."""
        return self._locks[self.sandboxes.get(name).name]

    def _task(self, work: Coroutine[Any, Any, Sandbox]) -> asyncio.Task[Sandbox]:
        """Goes on when its caller is gone: half made, parts of a sandbox would be made on unseen."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _make_or_find(self, request: Request, owner: str, trace_id: str) -> Sandbox:
        return await self.requests.made(request, owner) or await self._create(request, owner, trace_id)

    def _abandon(self, making: asyncio.Task[Sandbox]) -> None:
        """Nobody waits for it any more and nobody knows its name."""
        if making.cancelled() or making.exception():
            return
        self._task(self._end(making.result().name, Reason.DELETED, "its caller went away"))

    async def _create(self, request: Request, owner: str, trace_id: str) -> Sandbox:
        sandbox = self._admitted(request, owner, trace_id)
        async with self._locks[sandbox.name]:
            if (made := await self._claims.elsewhere(sandbox, request)) is not None:
                return made
            # Side by side: what a crash leaves of one that is not remembered yet is nobody's, and upkeep removes it.
            remembering = asyncio.gather(
                self.sandboxes.put(sandbox), self.requests.remember(request, owner, sandbox.name)
            )
            try:
                built = await self._made(sandbox, remembering)
            except BaseException as error:
                await self._failed(sandbox, error)
                raise
            running = await self.sandboxes.put(replace(built, state=State.RUNNING, revision=1))
        if self._claims.stands(running):
            return running
        await self._end(running.name, Reason.START_FAILED, "another node took its request over")
        return await self._create(request, owner, trace_id)

    async def _made(self, sandbox: Sandbox, remembering: Awaitable[object]) -> Sandbox:
        """Built, or claimed from the pool, and remembered; on failure nothing of it is left."""
        making = self.assembly.admit(sandbox) if sandbox.init_pid else self.assembly.build(sandbox)
        made, remembered = await asyncio.gather(making, remembering, return_exceptions=True)
        if isinstance(remembered, BaseException) or (isinstance(made, BaseException) and sandbox.init_pid):
            await self.assembly.take_down(sandbox.name, "it could not be given to its agent")
        for result in (made, remembered):
            if isinstance(result, BaseException):
                raise result
        assert isinstance(made, Sandbox)
        return made

    def _admitted(self, request: Request, owner: str, trace_id: str) -> Sandbox:
        """The sandbox that `request` comes to, in state STARTING."""
        profile, known = self.profiles.find(request.agent_type)
        plan = admission.plan(request, profile, known, self.rules)
        living = len(self.sandboxes.living())
        placement.held_node(self.node, self._cordon.drawn, living, self.rules.sandboxes_per_node)
        now = time.time()
        return replace(
            self._claimed(plan, request) or self._draft(plan.image, plan.tier, plan.limits, request.memory_of),
            state=State.STARTING,
            snapshot=request.snapshot,
            with_memory=bool(request.memory_of),
            agent=request.agent,
            agent_type=request.agent_type,
            owner=owner,
            profile=profile.name,
            agent_type_known=known,
            network_mode=plan.network_mode,
            allowed_domains=request.allowed_domains,
            env=request.env,
            labels=request.labels,
            created_at=now,
            expires_at=now + plan.lifetime,
            idle_timeout=plan.idle_timeout,
            trace_id=trace_id,
            warnings=plan.warnings,
        )

    def _claimed(self, plan: Plan, request: Request) -> Sandbox | None:
        """A warm one that is just what is wanted."""
        if plan.network_mode is NetworkMode.HOST or request.snapshot:
            return None
        return self.pool.claim(Shape(plan.image, plan.tier, plan.limits))

    def _draft_member(self, shape: Shape) -> Sandbox:
        return self._draft(shape.image, shape.tier, shape.limits)

    def _draft(self, image: str, tier: Tier, limits: Limits, memory_of: int = 0) -> Sandbox:
        """A new one that nothing exists of yet, with a name, a uid and cores of its own. Raises NodeFull.

        `memory_of`: the uid of the live memory that it goes on from.
        """
        return Sandbox(
            name=new_name(),
            node=self.node,
            uid=self._uids.share(memory_of) if memory_of else self._uids.take(),
            state=State.WARM,
            image=image,
            limits=limits,
            tier=tier,
            cpus=admission.pin(limits.cpu, self._cores, self.sandboxes.present()),
        )

    async def _failed(self, sandbox: Sandbox, error: BaseException) -> None:
        self._uids.give_back(sandbox.uid)
        await self.sandboxes.put(over(sandbox, Reason.START_FAILED, str(error), time.time()))

    async def _end(self, name: str, reason: Reason, message: str) -> Sandbox:
        async with self._lock(name):
            sandbox = self.sandboxes.get(name)
            if not sandbox.living:
                return sandbox
            if sandbox.state is State.PAUSED and sandbox.tier is Tier.GVISOR:
                await self._engine.resume(name)  # what stands still in gVisor's kernel is not reached by a signal
            # Said before it is done: after a crash in between, it is known why it is being taken down.
            await self.sandboxes.change(name, state=State.ENDING, reason=reason, message=message)
            await self.assembly.take_down(name, message or reason.value)
            self._uids.give_back(sandbox.uid)
            ended = await self.sandboxes.put(over(self.sandboxes.get(name), reason, message, time.time()))
        self._locks.pop(name, None)
        return ended

    async def _to(self, sandbox: Sandbox, state: State) -> Sandbox:
        return sandbox if sandbox.state is state else await self.sandboxes.change(sandbox.name, state=state)

    def _in(self, name: str, *states: State) -> Sandbox:
        sandbox = self.sandboxes.get(name)
        if sandbox.state not in states:
            raise SandboxNotRunning(name, sandbox.state, sandbox.message)
        return sandbox

    async def _behind_new_door(self, before: Sandbox, wanted: Sandbox) -> Sandbox:
        """`wanted` with its door as it is wanted; where that is refused, its limits are again those of `before`."""
        try:
            await self.assembly.change_door(wanted)
        except SandboxError:
            if wanted.limits != before.limits:
                await self._engine.update(before.name, before.limits)
            raise
        return replace(wanted, gated=True)

    async def _fate(self, name: str) -> Fate:
        """What became of its container. Raises EngineUnavailable: silence of the engine is no one's death."""
        status = await self._engine.status(name)
        if status is None:
            return Fate(running=False, detail=_REMOVED)
        running = status.state in (ContainerState.RUNNING, ContainerState.PAUSED)
        detail = "" if running else f"its init process ended with {status.exit_code}"
        paused = status.state is ContainerState.PAUSED
        return Fate(running=running, paused=paused, out_of_memory=status.out_of_memory, detail=detail)

    @staticmethod
    def _diagnosis(fate: Fate, why: str) -> tuple[Reason, str]:
        if fate.out_of_memory:
            return Reason.OUT_OF_MEMORY, "its memory limit was reached and the kernel killed its init process"
        if fate.running:
            return Reason.SUPERVISOR_GONE, why
        return (Reason.REMOVED if fate.detail == _REMOVED else Reason.KILLED), fate.detail


def _held_etag(sandbox: Sandbox, etag: str) -> None:
    if etag and etag != sandbox.etag:
        raise EtagMismatch(sandbox.etag)


def _door(sandbox: Sandbox) -> tuple[NetworkMode, tuple[str, ...]]:
    return sandbox.network_mode, sandbox.allowed_domains
