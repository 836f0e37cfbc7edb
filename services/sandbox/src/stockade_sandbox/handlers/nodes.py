"""NodeService: this node, as the one that a single machine has."""

import asyncio
import time
from contextlib import aclosing, suppress

from grpc.aio import ServicerContext as Context
from stockade.sandbox.v1 import node_service_pb2 as pb
from stockade.sandbox.v1.node_service_pb2_grpc import NodeServiceServicer

from stockade_sandbox.domain.errors import EngineUnavailable, NodeNotFound
from stockade_sandbox.domain.ports import Engine
from stockade_sandbox.domain.sandbox import Filter, Limits, Reason
from stockade_sandbox.handlers import messages
from stockade_sandbox.lifecycle import Lifecycle


class NodeHandler(NodeServiceServicer):
    """See node_service.proto."""

    def __init__(self, lifecycle: Lifecycle, engine: Engine, capacity: Limits) -> None:
        self._lifecycle, self._engine, self._capacity = lifecycle, engine, capacity
        self._started_at = time.time()

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:
        """Lists the one node."""
        return pb.ListNodesResponse(nodes=[await self._node()])

    async def CordonNode(self, request: pb.CordonNodeRequest, context: Context) -> pb.CordonNodeResponse:
        """Stops the node from taking new sandboxes."""
        await self._cordon(request.name, True)
        return pb.CordonNodeResponse(node=await self._node())

    async def UncordonNode(self, request: pb.UncordonNodeRequest, context: Context) -> pb.UncordonNodeResponse:
        """Lets the node take new sandboxes again."""
        await self._cordon(request.name, False)
        return pb.UncordonNodeResponse(node=await self._node())

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Context) -> pb.DrainNodeResponse:
        """Cordons the node and ends its sandboxes."""
        await self._cordon(request.name, True)
        with suppress(TimeoutError):
            async with asyncio.timeout(messages.seconds(request.grace)):
                await self._emptied()
        left = [sandbox.name for sandbox in self._lifecycle.sandboxes.living()]
        ends = (self._lifecycle.expire(name, Reason.NODE_DRAINED, "the node is drained") for name in left)
        await asyncio.gather(*ends)
        return pb.DrainNodeResponse(node=await self._node(), ended_sandboxes=left)

    async def _emptied(self) -> None:
        sandboxes = self._lifecycle.sandboxes
        async with aclosing(sandboxes.watch(Filter())) as changes:
            async for _ in changes:
                if not sandboxes.living():
                    return

    async def _cordon(self, name: str, cordoned: bool) -> None:
        if name != self._lifecycle.node:
            raise NodeNotFound(name, self._lifecycle.node)
        await self._lifecycle.cordon(cordoned)

    async def _node(self) -> pb.Node:
        limits = [sandbox.limits for sandbox in self._lifecycle.sandboxes.present()]
        return pb.Node(
            name=self._lifecycle.node,
            cordoned=await self._lifecycle.cordoned(),
            engine=await self._engine_version(),
            tiers=[f"TIER_{tier.name}" for tier in sorted(self._lifecycle.rules.tiers)],
            sandboxes=len(self._lifecycle.sandboxes.living()),
            sandbox_limit=self._lifecycle.rules.sandboxes_per_node,
            warm_sandboxes=self._lifecycle.pool.ready(),
            promised=messages.limits_message(
                Limits(
                    cpu=sum(each.cpu for each in limits),
                    memory=sum(each.memory for each in limits),
                    disk=sum(each.disk for each in limits),
                    pids=sum(each.pids for each in limits),
                )
            ),
            capacity=messages.limits_message(self._capacity),
            start_time=messages.timestamp(self._started_at),
        )

    async def _engine_version(self) -> str:
        try:
            return await self._engine.version()
        except EngineUnavailable:
            return ""
