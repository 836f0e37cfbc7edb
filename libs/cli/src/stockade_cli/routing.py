"""Calls for a sandbox that another node has: they are sent again, with the node by which a mesh leads them there."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
from stockade_agent.client import NODE_HEADER
from stockade_agent.errors import StockadeError


class Routing(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Learns each node from the answer that says so."""

    def intercept_unary_unary(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc."""
        call = proceed(details, request)
        node = _node(call.exception())
        return proceed(_to(node, details), request) if node else call

    def intercept_unary_stream(self, proceed: Callable[..., Any], details: Any, request: Any) -> "_Stream":
        """See grpc."""
        return _Stream(proceed, details, request)


class _Stream:
    """Answers, from wherever the sandbox is."""

    def __init__(self, proceed: Callable[..., Any], details: Any, request: Any) -> None:
        self._proceed, self._details, self._request = proceed, details, request
        self._call = proceed(details, request)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._call
        except grpc.RpcError as error:  # said instead of the first answer, never after one
            node = _node(error)
            if not node:
                raise
            self._call = self._proceed(_to(node, self._details), self._request)
            yield from self._call

    def cancel(self) -> None:
        """See grpc.Call."""
        self._call.cancel()


def _node(error: BaseException | None) -> str:
    """The node that `error` says to ask; empty where it says something else."""
    return StockadeError.of(error).other_node if isinstance(error, grpc.RpcError) else ""


def _to(node: str, details: Any) -> Any:
    return details._replace(metadata=(*(details.metadata or ()), (NODE_HEADER, node)))
