"""Calls that name a sandbox of another node: they are told which."""

import inspect
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import wraps
from typing import Any, TypeVar

from stockade_sandbox.directory import Directory
from stockade_sandbox.domain.errors import SandboxNotFound
from stockade_sandbox.handlers.access import caller_may_see

H = TypeVar("H")


def telling_where(handler: H, directory: Directory) -> H:
    """`handler`, whose methods say where a sandbox lives, or how it ended, that they do not find here."""
    for name, method in inspect.getmembers(handler, callable):
        if name.startswith("_"):
            continue
        if inspect.isasyncgenfunction(method):
            setattr(handler, name, _streamed(method, directory))
        elif inspect.iscoroutinefunction(method):
            setattr(handler, name, _returned(method, directory))
    return handler


def _returned(method: Any, directory: Directory) -> Any:
    @wraps(method)
    async def call(request: Any, context: Any) -> Any:
        try:
            return await method(request, context)
        except SandboxNotFound as error:
            raise await directory.whereabouts(error.name, caller_may_see) from error

    return call


def _streamed(method: Any, directory: Directory) -> Any:
    @wraps(method)
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async with aclosing(method(request, context)) as answers:
                async for answer in answers:
                    yield answer
        except SandboxNotFound as error:
            raise await directory.whereabouts(error.name, caller_may_see) from error

    return call
