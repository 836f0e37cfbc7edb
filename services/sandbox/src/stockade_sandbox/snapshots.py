"""Snapshots of sandboxes, and sandboxes made from them. Live memory is the GVISOR tier's alone."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from stockade_sandbox.domain.errors import MemoryNotKept, SnapshotNotFound, SocketsOpen
from stockade_sandbox.domain.ports import Disks, Registry
from stockade_sandbox.domain.sandbox import Reason, Request, Sandbox, Tier, new_name
from stockade_sandbox.domain.snapshot import Snapshot, request_from, snapshot_of
from stockade_sandbox.lifecycle import Lifecycle
from stockade_sandbox.memories import Memories

PATIENCE = (0.0, 1.5)
"""Seconds that programs get to let go of connections which the gate has cut: at first, and once more."""

Forked = Callable[[Sandbox, str], Awaitable[None]]
"""Records that a sandbox was forked from the one named. Durable on return."""


def listing_key(snapshot: Snapshot) -> str:
    """Orders snapshots, the newest first; two are never equal."""
    return f"{1e12 - snapshot.created_at:019.6f}:{snapshot.name}"


class Snapshots:
    """Takes, lists, drops and restores them, and forks. Its methods belong to one event loop."""

    def __init__(
        self, lifecycle: Lifecycle, disks: Disks, memories: Memories, registry: Registry, forked: Forked
    ) -> None:
        self._lifecycle, self._disks, self._memories, self._registry = lifecycle, disks, memories, registry
        self._forked = forked
        self._known: dict[str, Snapshot] = {}
        self._forking: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self) -> None:
        """Take what the registry remembers, and remove what was half made."""
        self._known = {snapshot.name: snapshot for snapshot in await self._registry.snapshots()}
        for name in (await self._disks.snapshots() | self._memories.names()) - set(self._known):
            await self._remove(name)

    async def take(self, name: str, with_memory: bool) -> Snapshot:
        """Copy a sandbox's files, with its live memory if that is wanted, while it stands still.

        Raises SandboxNotFound, SandboxNotRunning, MemoryNotKept, SocketsOpen, SupervisorAbsent, NodeFull,
        EngineUnavailable, EngineRefused.
        """
        taken = await (self._kept_with_memory(name) if with_memory else self._kept(name))
        await self._registry.put_snapshot(taken)
        self._known[taken.name] = taken
        return taken

    def all(self, sandbox: str = "") -> list[Snapshot]:
        """Those of a sandbox, or all; the newest first."""
        found = (each for each in self._known.values() if sandbox in ("", each.sandbox))
        return sorted(found, key=listing_key)

    async def drop(self, name: str) -> Snapshot:
        """Remove one. Raises SnapshotNotFound."""
        snapshot = self._get(name)
        await self._registry.forget_snapshot(name)
        del self._known[name]
        await self._remove(name)
        return snapshot

    async def restore(self, name: str, lifetime: float | None, request_id: str, owner: str, trace_id: str) -> Sandbox:
        """A new sandbox with what is in it. Raises SnapshotNotFound, and what `Lifecycle.create` raises."""
        request = request_from(self._get(name), lifetime, request_id)
        return await self._lifecycle.create(request, owner, trace_id)

    async def fork(self, name: str, count: int, request_id: str, owner: str, trace_id: str) -> list[Sandbox]:
        """`count` new sandboxes that go on from where this one is, or none. The same request_id answers with the same.

        Raises what `take` and `Lifecycle.create` raise.
        """
        ids = [f"{request_id}.{number}" if request_id else "" for number in range(count)]
        async with self._forking[owner, request_id]:
            known = [await self._lifecycle.requests.made_by(owner, each) for each in ids]
            found = [sandbox for sandbox in known if sandbox is not None]
            if len(found) == count:
                return found
            return await self._fork(self._lifecycle.sandboxes.get(name), ids, owner, trace_id)

    async def _fork(self, source: Sandbox, ids: list[str], owner: str, trace_id: str) -> list[Sandbox]:
        """From a copy that is there for as long as it takes."""
        copy = await self._kept_with_memory(source.name)
        request = replace(request_from(copy, None, ""), env=source.env, labels=source.labels)
        try:
            made = await self._made([replace(request, request_id=each) for each in ids], owner, trace_id)
        finally:
            await self._remove(copy.name)
        for sandbox in made:
            await self._forked(sandbox, source.name)
        return made

    async def _made(self, requests: list[Request], owner: str, trace_id: str) -> list[Sandbox]:
        """All of them; when one fails, those that were made are ended, and the failure is told."""
        making = (self._lifecycle.create(request, owner, trace_id) for request in requests)
        results = await asyncio.gather(*making, return_exceptions=True)
        made = [result for result in results if isinstance(result, Sandbox)]
        for result in results:
            if isinstance(result, BaseException):
                for sandbox in made:
                    await self._lifecycle.expire(sandbox.name, Reason.START_FAILED, "one forked with it did not start")
                raise result
        return made

    async def _kept(self, name: str) -> Snapshot:
        snapshot = new_name("sn")
        async with self._lifecycle.still(name) as sandbox:
            size = await self._disks.keep(name, snapshot)
        return snapshot_of(sandbox, snapshot, size, time.time())

    async def _kept_with_memory(self, name: str) -> Snapshot:
        """A program that holds a connection to the gate keeps memory from being written: it may let go in between."""
        sandbox = self._lifecycle.sandboxes.get(name)
        if sandbox.tier is not Tier.GVISOR:
            raise MemoryNotKept(sandbox.tier)
        for patience in PATIENCE[:-1]:
            try:
                return await self._kept_quiet(name, patience)
            except SocketsOpen:
                continue
        return await self._kept_quiet(name, PATIENCE[-1])

    async def _kept_quiet(self, name: str, patience: float) -> Snapshot:
        snapshot = new_name("sn")
        try:
            async with self._lifecycle.quiet(name, patience) as sandbox:
                size = await self._lifecycle.assembly.keep_memory(sandbox, snapshot, sandbox.limits.memory)
                size += await self._disks.keep(name, snapshot)
        except BaseException:
            await self._remove(snapshot)
            raise
        return snapshot_of(sandbox, snapshot, size, time.time(), with_memory=True)

    async def _remove(self, name: str) -> None:
        self._memories.drop(name)
        await self._disks.drop(name)

    def _get(self, name: str) -> Snapshot:
        try:
            return self._known[name]
        except KeyError:
            raise SnapshotNotFound(name) from None
