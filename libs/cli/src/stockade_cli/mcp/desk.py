"""Whose sandbox a tool call is about.

Over standard input and output a process serves one client, and has one sandbox. Over HTTP the protocol has no
sessions: a client creates a sandbox, names it in each call, and its token is what makes it the client's own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver.exceptions import ToolError
from stockade_agent.client import AsyncStockade
from stockade_agent.errors import NotFound, StockadeError
from stockade_agent.sandbox import AsyncSandbox

from stockade_cli.errors import failed

GONE = frozenset({"SANDBOX_NOT_FOUND", "SANDBOX_NOT_RUNNING", "SANDBOX_LOST"})


class Desk(Protocol):
    """Hands out sandboxes to those who may use them."""

    def use(self, handle: str) -> AbstractAsyncContextManager[AsyncSandbox]:
        """An async context manager of the sandbox of that name. Raises ToolError where it is not the caller's."""

    async def close(self) -> None:
        """End all of them."""


class OwnSandbox:
    """One sandbox for the whole process, created when it is first used."""

    def __init__(self, stockade: AsyncStockade, request: dict[str, Any]) -> None:
        self._stockade, self._request = stockade, request
        self._sandbox: AsyncSandbox | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def use(self, handle: str) -> AsyncIterator[AsyncSandbox]:
        """The one. When it turns out to have ended, the next call gets a new one."""
        async with self._lock:
            if handle and (self._sandbox is None or handle != self._sandbox.name):
                raise ToolError(f"there is no sandbox {handle!r} here")
            if self._sandbox is None:
                sandbox = AsyncSandbox(self._stockade, **self._request)
                with tool_errors():
                    await sandbox.create()
                self._sandbox = sandbox
        try:
            with tool_errors("The next call gets a new, empty sandbox."):
                yield self._sandbox
        except Gone:
            self._sandbox = None
            raise

    async def close(self) -> None:
        """End it."""
        if self._sandbox is not None:
            await _end(self._sandbox)


class HandedOut:
    """A sandbox for each call of `create`, and only for the token that it was created with."""

    def __init__(self, stockade: AsyncStockade, request: dict[str, Any]) -> None:
        self._stockade, self._request = stockade, request
        self._sandboxes: dict[tuple[str, str], AsyncSandbox] = {}

    async def create(self) -> AsyncSandbox:
        """A new sandbox for the caller. Raises ToolError."""
        token = _token()
        sandbox = AsyncSandbox(self._stockade, **self._request | (token.claims or {}))
        with tool_errors():
            await sandbox.create()
        self._sandboxes[token.client_id, sandbox.name] = sandbox
        return sandbox

    async def end(self, handle: str) -> None:
        """End a sandbox of the caller's. Raises ToolError."""
        async with self.use(handle) as sandbox:
            await sandbox.delete()
        self._forget(handle)

    @asynccontextmanager
    async def use(self, handle: str) -> AsyncIterator[AsyncSandbox]:
        """The caller's sandbox of that name."""
        sandbox = self._sandboxes.get((_token().client_id, handle))
        if sandbox is None:
            raise ToolError(f"you have no sandbox {handle!r}: create_sandbox makes one and tells its name")
        try:
            with tool_errors("create_sandbox makes a new one."):
                yield sandbox
        except Gone:
            self._forget(handle)
            raise

    async def close(self) -> None:
        """End all that are left."""
        await asyncio.gather(*map(_end, self._sandboxes.values()))

    def _forget(self, handle: str) -> None:
        self._sandboxes.pop((_token().client_id, handle), None)


class Gone(ToolError):
    """The sandbox has ended: by its idle timeout, at its lifetime, or by an operator."""


@contextmanager
def tool_errors(after: str = "") -> Iterator[None]:
    """Turns a failed call into what the model reads; `after` says what to do once a sandbox has ended."""
    try:
        yield
    except StockadeError as error:
        line = failed(error).message
        raise (Gone(f"{line}. {after}") if error.reason in GONE else ToolError(line)) from error


async def _end(sandbox: AsyncSandbox) -> None:
    with suppress(NotFound):
        await sandbox.delete()


def _token() -> AccessToken:
    token = get_access_token()
    assert token is not None, "no call comes through without one"
    return token
