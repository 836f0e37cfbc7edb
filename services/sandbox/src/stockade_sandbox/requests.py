"""Requests that bear an id: each makes one sandbox, however often it is sent (AIP-155)."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace

from stockade_sandbox.domain.errors import RequestIdReused, SandboxNotFound
from stockade_sandbox.domain.ports import Registry
from stockade_sandbox.domain.sandbox import Reason, Request, Sandbox
from stockade_sandbox.sandboxes import Sandboxes


class Requests:
    """Those that are remembered, and those under way. Its methods belong to one event loop."""

    def __init__(self, registry: Registry, sandboxes: Sandboxes) -> None:
        self._registry, self._sandboxes = registry, sandboxes
        self._under_way: dict[tuple[str, str], tuple[str, asyncio.Task[Sandbox]]] = {}

    def once(self, request: Request, owner: str, make: Callable[[], asyncio.Task[Sandbox]]) -> asyncio.Task[Sandbox]:
        """The one making of a request: under way, or begun now by `make`. Raises RequestIdReused."""
        key, digest = (owner, request.request_id), digest_of(request)
        known, making = self._under_way.get(key, (digest, None))
        if known != digest:
            raise RequestIdReused(request.request_id)
        if making is None:
            making = make()
            self._under_way[key] = (digest, making)
            making.add_done_callback(lambda _: self._under_way.pop(key))
        return making

    async def remember(self, request: Request, owner: str, sandbox: str) -> None:
        """That it makes this sandbox, if it bears an id. Durable on return."""
        if request.request_id:
            await self._registry.remember_request(owner, request.request_id, digest_of(request), sandbox, time.time())

    async def made(self, request: Request, owner: str) -> Sandbox | None:
        """The sandbox that it has made. Raises RequestIdReused where another request bore its id."""
        found = await self._registry.request(owner, request.request_id)
        if found is not None and found[0] != digest_of(request):
            raise RequestIdReused(request.request_id)
        return await self.made_by(owner, request.request_id)

    async def made_by(self, owner: str, request_id: str) -> Sandbox | None:
        """The sandbox that the request of that id has made, unless it did not start."""
        found = await self._registry.request(owner, request_id) if request_id else None
        if found is None:
            return None
        try:
            sandbox = self._sandboxes.get(found[1])
        except SandboxNotFound:
            return None
        return None if sandbox.reason is Reason.START_FAILED else sandbox


def digest_of(request: Request) -> str:
    """What tells requests of one id apart: the same for the same request. Maps are ordered by key."""
    fields = replace(request, env=dict(sorted(request.env.items())), labels=dict(sorted(request.labels.items())))
    return hashlib.sha256(repr(fields).encode()).hexdigest()
