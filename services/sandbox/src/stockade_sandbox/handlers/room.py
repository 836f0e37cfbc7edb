"""Who asks a node for sandboxes hears with the last one that it has room for that this was the last."""

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from typing import Any

from stockade_sandbox.handlers.sandboxes import SandboxHandler

CREATE = "stockade.sandbox.v1.SandboxService/CreateSandbox"
"""The name under which the service's health says whether the node takes one more sandbox."""
FULL = (("x-envoy-immediate-health-check-fail", "true"),)
"""Envoy's own: it takes the host as unhealthy at once, until a health check finds it well."""

_asking: ContextVar[list[Any]] = ContextVar("asking")
"""The context of the create that this is done for, until it has been told."""


class Room:
    """Tells creates, once they have their place, that it was the node's last: making them takes a while yet.

    One that is refused is told nothing: what comes before a failure would keep an Envoy from asking another node. For
    the same reason a create on the last place that fails later is not tried again by anybody but its caller.
    """

    def __init__(self, has_room: Callable[[], bool]) -> None:
        self._has_room = has_room

    def telling(self, handler: SandboxHandler) -> SandboxHandler:
        """`handler`, whose creates are told."""
        create = handler.CreateSandbox

        @wraps(create)
        async def call(request: Any, context: Any) -> Any:
            _asking.set([context])
            return await create(request, context)

        setattr(handler, create.__name__, call)
        return handler

    async def placed(self) -> None:
        """What is done here has its place now."""
        if (asking := _asking.get(None)) and not self._has_room():
            with suppress(Exception):  # the caller went away, which is no reason to give up what has its place
                await asking.pop().send_initial_metadata(FULL)
