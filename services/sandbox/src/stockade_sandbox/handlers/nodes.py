"""NodeService: the nodes of the fleet, this one directly and the others by what they are told through the registry."""

import asyncio
from secrets import token_hex

from grpc.aio import ServicerContext as Context
from stockade.sandbox.v1 import node_service_pb2 as pb
from stockade.sandbox.v1.node_service_pb2_grpc import NodeServiceServicer

from stockade_sandbox.domain.errors import FleetUnavailable, NodeNotFound
from stockade_sandbox.domain.node import Command, Node, NodeState, Order
from stockade_sandbox.domain.ports import Fleet
from stockade_sandbox.domain.sandbox import Reason
from stockade_sandbox.drains import Drains
from stockade_sandbox.handlers import messages
from stockade_sandbox.handlers.paging import page
from stockade_sandbox.this_node import ThisNode

LOOK_SECONDS = 0.25
HEAR_SECONDS = 5.0
"""How long another node may take until it has heard, beyond what it was told to take."""


class NodeHandler(NodeServiceServicer):
    """See node_service.proto."""

    def __init__(self, fleet: Fleet, this_node: ThisNode, drains: Drains) -> None:
        self._fleet, self._this_node, self._drains = fleet, this_node, drains

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:
        """Lists the nodes."""
        await self._this_node.ask_engine()
        others = [node for node in await self._fleet.nodes() if node.name != self._this_node.name]
        found = sorted([*others, self._this_node.describe()], key=_name)
        chosen, token = page(found, _name, "nodes", request.page_size, request.page_token)
        return pb.ListNodesResponse(nodes=map(messages.node_message, chosen), next_page_token=token)

    async def CordonNode(self, request: pb.CordonNodeRequest, context: Context) -> pb.CordonNodeResponse:
        """Stops a node from taking new sandboxes."""
        node, _ = await self._told(request.name, Command.CORDON)
        return pb.CordonNodeResponse(node=messages.node_message(node))

    async def UncordonNode(self, request: pb.UncordonNodeRequest, context: Context) -> pb.UncordonNodeResponse:
        """Lets a node take new sandboxes again."""
        node, _ = await self._told(request.name, Command.UNCORDON)
        return pb.UncordonNodeResponse(node=messages.node_message(node))

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Context) -> pb.DrainNodeResponse:
        """Cordons a node and ends its sandboxes."""
        node, ended = await self._told(request.name, Command.DRAIN, messages.seconds(request.grace))
        return pb.DrainNodeResponse(node=messages.node_message(node), ended_sandboxes=ended)

    async def _told(self, name: str, command: Command, grace: float = 0.0) -> tuple[Node, list[str]]:
        """The node once it has done what it is told, and the sandboxes that were ended for it."""
        order = Order(id=token_hex(8), command=command, grace=grace)
        if name != self._this_node.name:
            return await self._told_other(name, order)
        ended = await self._drains.obey(order)
        await self._this_node.ask_engine()
        return self._this_node.describe(), ended

    async def _told_other(self, name: str, order: Order) -> tuple[Node, list[str]]:
        node = await self._fleet.node(name)
        if node is None:
            raise NodeNotFound(name, self._this_node.name)
        there = [sandbox.name for sandbox in await self._fleet.placed(name)]
        await self._fleet.order(name, order)
        if node.state is not NodeState.LOST:
            node = await self._obeyed(node, order)
        now = await self._fleet.find(there)
        return node, [sandbox.name for sandbox in now.values() if sandbox.reason is Reason.NODE_DRAINED]

    async def _obeyed(self, node: Node, order: Order) -> Node:
        """The node once it has obeyed. Raises FleetUnavailable where it does not in time; it does when it hears."""
        patience = order.grace + HEAR_SECONDS
        while node.obeyed != order.id:
            if patience < 0 and node.state is not NodeState.DRAINING:
                raise FleetUnavailable(f"node {node.name} was told and has not said that it has done so")
            await asyncio.sleep(LOOK_SECONDS)
            patience -= LOOK_SECONDS
            node = await self._fleet.node(node.name) or node
        return node


def _name(node: Node) -> str:
    return node.name
