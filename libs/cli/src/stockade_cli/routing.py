"""Calls for a sandbox that another node has: they are sent again, with the node by which a mesh leads them there."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
from stockade_agent.errors import StockadeError

HEADER = "x-stockade-node"


class Routing(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Learns each node from the answer that says so."""

    def intercept_unary_unary(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc."""
        call = proceed(details, request)
        node = _node(call.exception())
        return proceed(_to(node, details), request) if node else call

    def intercept_unary_stream(self, proceed: Callable[..., Any], details: Any, request: Any) -> Iterator[Any]:
        """See grpc."""
        try:
            yield from proceed(details, request)
        except grpc.RpcError as error:  # said instead of the first answer, never after one
            node = _node(error)
            if not node:
                raise
            yield from proceed(_to(node, details), request)


def _node(error: BaseException | None) -> str:
    """The node that `error` says to ask; empty where it says something else."""
    if not isinstance(error, grpc.RpcError):
        return ""
    told = StockadeError.of(error)
    return told.metadata["node"] if told.reason == "SANDBOX_ON_OTHER_NODE" else ""


def _to(node: str, details: Any) -> Any:
    return details._replace(metadata=(*(details.metadata or ()), (HEADER, node)))
