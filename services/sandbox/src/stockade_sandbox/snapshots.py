"""Snapshots of sandboxes' files, and sandboxes made from them. Live memory is the GVISOR tier's alone."""

import time

from stockade_sandbox.domain.errors import MemoryNotKept, SnapshotNotFound
from stockade_sandbox.domain.ports import Disks, Registry
from stockade_sandbox.domain.sandbox import Sandbox, new_name
from stockade_sandbox.domain.snapshot import Snapshot, request_from, snapshot_of
from stockade_sandbox.lifecycle import Lifecycle


def listing_key(snapshot: Snapshot) -> str:
    """Orders snapshots, the newest first; two are never equal."""
    return f"{1e12 - snapshot.created_at:019.6f}:{snapshot.name}"


class Snapshots:
    """Takes, lists, drops and restores them. Its methods belong to one event loop."""

    def __init__(self, lifecycle: Lifecycle, disks: Disks, registry: Registry) -> None:
        self._lifecycle, self._disks, self._registry = lifecycle, disks, registry
        self._known: dict[str, Snapshot] = {}

    async def load(self) -> None:
        """Take what the registry remembers, and remove what was half made."""
        self._known = {snapshot.name: snapshot for snapshot in await self._registry.snapshots()}
        for name in await self._disks.snapshots() - set(self._known):
            await self._disks.drop(name)

    async def take(self, name: str, with_memory: bool) -> Snapshot:
        """Copy a sandbox's files while it stands still.

        Raises SandboxNotFound, SandboxNotRunning, MemoryNotKept, NodeFull, EngineUnavailable.
        """
        if with_memory:
            raise MemoryNotKept(self._lifecycle.sandboxes.get(name).tier)
        snapshot = new_name("sn")
        async with self._lifecycle.still(name) as sandbox:
            size = await self._disks.keep(name, snapshot)
        taken = snapshot_of(sandbox, snapshot, size, time.time())
        await self._registry.put_snapshot(taken)
        self._known[snapshot] = taken
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
        await self._disks.drop(name)
        return snapshot

    async def restore(self, name: str, lifetime: float | None, request_id: str, owner: str, trace_id: str) -> Sandbox:
        """A new sandbox with its files. Raises SnapshotNotFound, and what `Lifecycle.create` raises."""
        request = request_from(self._get(name), lifetime, request_id)
        return await self._lifecycle.create(request, owner, trace_id)

    def fork(self, name: str) -> None:
        """Always raises: SandboxNotFound, or MemoryNotKept, since what is forked is live memory."""
        raise MemoryNotKept(self._lifecycle.sandboxes.get(name).tier)

    def _get(self, name: str) -> Snapshot:
        try:
            return self._known[name]
        except KeyError:
            raise SnapshotNotFound(name) from None
