"""What this node is told: to take no more sandboxes, to take them again, to end those that it has."""

import asyncio
from contextlib import aclosing, suppress

from stockade_sandbox.cordon import Cordon
from stockade_sandbox.domain.node import Command, NodeState, Order
from stockade_sandbox.domain.sandbox import Filter, Reason
from stockade_sandbox.lifecycle import Lifecycle


class Drains:
    """Carries it out. Its methods belong to one event loop."""

    def __init__(self, cordon: Cordon, lifecycle: Lifecycle) -> None:
        self._cordon, self._lifecycle = cordon, lifecycle
        self._draining = 0

    @property
    def state(self) -> NodeState:
        """How the node is."""
        if self._draining:
            return NodeState.DRAINING
        return NodeState.CORDONED if self._cordon.drawn else NodeState.READY

    async def obey(self, order: Order) -> list[str]:
        """Carry it out; the sandboxes that were ended for it. Raises EngineUnavailable, RecordUnavailable."""
        await self._cordon.draw(order.command is not Command.UNCORDON)
        return await self._drain(order.grace) if order.command is Command.DRAIN else []

    async def _drain(self, grace: float) -> list[str]:
        self._draining += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._emptied()
            left = [sandbox.name for sandbox in self._lifecycle.sandboxes.living()]
            ends = (self._lifecycle.expire(name, Reason.NODE_DRAINED, "the node is drained") for name in left)
            await asyncio.gather(*ends)
            return left
        finally:
            self._draining -= 1

    async def _emptied(self) -> None:
        sandboxes = self._lifecycle.sandboxes
        async with aclosing(sandboxes.watch(Filter())) as changes:
            async for _ in changes:
                if not sandboxes.living():
                    return
