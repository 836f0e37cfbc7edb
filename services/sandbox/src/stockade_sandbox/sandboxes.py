"""All sandboxes of this node: in memory to read, in the registry to last, and a word to whoever watches."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from stockade_sandbox.domain.errors import SandboxNotFound
from stockade_sandbox.domain.ports import Registry
from stockade_sandbox.domain.sandbox import Filter, Sandbox, State, listing_key


class Sandboxes:
    """The sandboxes by name. Its methods belong to one event loop."""

    def __init__(self, registry: Registry, node: str, tell: Callable[[Sandbox], Awaitable[None]]) -> None:
        """`node` is this node's name; `tell` tells other nodes how one is now."""
        self._registry, self._node, self._tell = registry, node, tell
        self._known: dict[str, Sandbox] = {}
        self._living: dict[str, Sandbox] = {}  # of them, so that a claim need not look through all
        self._watchers: set[_Watcher] = set()

    async def load(self) -> None:
        """Take what the registry remembers."""
        for sandbox in reversed(await self._registry.all()):
            self._keep(replace(sandbox, node=self._node))

    def get(self, name: str) -> Sandbox:
        """The sandbox of that name. Raises SandboxNotFound."""
        try:
            return self._known[name]
        except KeyError:
            raise SandboxNotFound(name) from None

    def all(self) -> list[Sandbox]:
        """All that are known, the newest first."""
        return sorted(self._known.values(), key=listing_key)

    def matching(self, wanted: Filter) -> list[Sandbox]:
        """Those that `wanted` means, the newest first."""
        return [sandbox for sandbox in self.all() if wanted.matches(sandbox)]

    def living(self) -> list[Sandbox]:
        """Callers' sandboxes that take room."""
        return list(self._living.values())

    def present(self) -> list[Sandbox]:
        """All that something exists of on the host: the living, and those that wait warm."""
        return [sandbox for sandbox in self._known.values() if sandbox.living or sandbox.state is State.WARM]

    def begin(self, sandbox: Sandbox) -> Sandbox | None:
        """One is being made for a caller: it takes room at once. What it was before: a warm one, or nothing."""
        before = self._known.get(sandbox.name)
        self._keep(sandbox)
        return before

    def withdraw(self, name: str, before: Sandbox | None) -> None:
        """It is not made after all."""
        if before:
            self._keep(before)
        else:
            self._drop(name)

    async def put(self, sandbox: Sandbox) -> Sandbox:
        """Remember one as it is now. A new one takes room at once; nothing else is told before it lasts."""
        if sandbox.name not in self._known:
            self._keep(sandbox)
        await self._registry.put(sandbox)
        self._keep(sandbox)
        for watcher in self._watchers:
            watcher.tell(sandbox)
        await self._tell(sandbox)
        return sandbox

    async def change(self, name: str, **fields: Any) -> Sandbox:
        """Change fields of one; its revision counts up. Raises SandboxNotFound."""
        sandbox = self.get(name)
        return await self.put(replace(sandbox, revision=sandbox.revision + 1, **fields))

    async def forget(self, *names: str) -> None:
        """Remember those no longer."""
        await self._registry.forget(names)
        for name in names:
            self._drop(name)

    async def watch(self, wanted: Filter) -> AsyncGenerator[Sandbox | None, None]:
        """Each matching one as it is, None, then each again as it changes, its end included."""
        with self._watcher() as watcher:
            sent = {sandbox.name for sandbox in self.matching(wanted)}
            for sandbox in self.matching(wanted):
                yield sandbox
            yield None
            async for sandbox in watcher.changes():
                if wanted.matches(sandbox) or (sandbox.name in sent and not sandbox.living):
                    sent.add(sandbox.name)
                    yield sandbox

    def _keep(self, sandbox: Sandbox) -> None:
        self._known[sandbox.name] = sandbox
        if sandbox.living:
            self._living[sandbox.name] = sandbox
        else:
            self._living.pop(sandbox.name, None)

    def _drop(self, name: str) -> None:
        self._known.pop(name, None)
        self._living.pop(name, None)

    @contextmanager
    def _watcher(self) -> Iterator["_Watcher"]:
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    """Changes that one reader has not read: the last of each sandbox, so that a slow reader holds little."""

    def __init__(self) -> None:
        self._unread: dict[str, Sandbox] = {}
        self._woken = asyncio.Event()

    def tell(self, sandbox: Sandbox) -> None:
        self._unread[sandbox.name] = sandbox
        self._woken.set()

    async def changes(self) -> AsyncIterator[Sandbox]:
        while True:
            await self._woken.wait()
            self._woken.clear()
            unread, self._unread = self._unread, {}
            for sandbox in unread.values():
                yield sandbox
