"""Who asks a node for sandboxes hears with the last one that it has room for that this was the last."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from stockade_sandbox.handlers.sandboxes import SandboxHandler

CREATE = "stockade.sandbox.v1.SandboxService/CreateSandbox"
"""The name under which the service's health says whether the node takes one more sandbox."""
FULL = (("x-envoy-immediate-health-check-fail", "true"),)
"""Envoy's own: it takes the host as unhealthy at once, until a health check finds it well."""


def telling_full(handler: SandboxHandler, has_room: Callable[[], bool]) -> SandboxHandler:
    """`handler`, whose creates say so when the node has no room for another one.

    Refused ones do not: what comes before a failure would keep an Envoy from asking another node.
    """
    create = handler.CreateSandbox

    @wraps(create)
    async def call(request: Any, context: Any) -> Any:
        answer = await create(request, context)
        if not has_room():
            await context.send_initial_metadata(FULL)
        return answer

    setattr(handler, create.__name__, call)
    return handler
