"""Channels from the command to the services, on the operator's own sockets, carrying the command's trace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import click
import grpc

from stockade_cli.settings import StackSettings

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)


def current_settings() -> StackSettings:
    """The settings of the command that runs."""
    settings = click.get_current_context().find_object(StackSettings)
    assert settings is not None, "the root command sets them"
    return settings


@contextmanager
def channel(service: str, settings: StackSettings | None = None) -> Iterator[grpc.Channel]:
    """A channel to "audit", "policy", "cache" or "sandbox" as the operator who calls.

        with channel("audit") as to:
            AuditServiceStub(to).ListEntries(request)

    A call that fails raises grpc.RpcError, which the root command turns into one line and an exit code.
    """
    path = (settings or current_settings()).socket(service)
    with grpc.insecure_channel(f"unix:{path}", options=_OPTIONS) as opened:
        yield grpc.intercept_channel(opened, _Tracing())


@contextmanager
def stub(kind: Callable[[grpc.Channel], Any], service: str) -> Iterator[Any]:
    """A generated stub of class `kind` on the channel to a service by its short name."""
    with channel(service) as to:
        yield kind(to)


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: tuple[tuple[str, str], ...]
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _Tracing(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Continues the command's span, where it has one, in the services."""

    def _go(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        from stockade_rpckit.tracing import outgoing_metadata

        metadata = (*(details.metadata or ()), *outgoing_metadata())
        traced = _Details(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )
        return proceed(traced, request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = _go
