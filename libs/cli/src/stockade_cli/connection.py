"""Channels from the command to the services, on the operator's own sockets, carrying the command's trace."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import click
import grpc
from stockade_agent import AsyncStockade
from stockade_agent.addresses import targets
from stockade_agent.client import open_channel

from stockade_cli.errors import CommandFailed, Exit
from stockade_cli.routing import Routing
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


def operator_settings() -> StackSettings:
    """The settings, for a command that calls a service. Raises CommandFailed where the caller is no operator."""
    settings = current_settings()
    if settings.address:  # whoever answers there judges by our certificate
        return settings
    mine = settings.socket("sandbox").parent
    if mine.parent.exists() and not os.access(mine, os.X_OK):
        raise CommandFailed(
            f"{settings.person} is no operator of the stack in {settings.run_dir}; whoever runs it adds you with "
            f"STOCKADE_STACK_OPERATORS={settings.person}",
            Exit.REFUSED,
        )
    return settings


@contextmanager
def channel(service: str, settings: StackSettings | None = None) -> Iterator[grpc.Channel]:
    """A channel to "audit", "policy", "cache" or "sandbox" as the operator who calls.

        with channel("audit") as to:
            AuditServiceStub(to).ListEntries(request)

    A call that fails raises grpc.RpcError, which the root command turns into one line and an exit code.
    """
    settings = settings or operator_settings()
    with _open(settings, service) as opened:
        routing = (Routing(),) if service == "sandbox" else ()
        yield grpc.intercept_channel(opened, _Tracing(), *routing)


def _open(settings: StackSettings, service: str) -> grpc.Channel:
    if not settings.address:
        return grpc.insecure_channel(f"unix:{settings.socket(service)}", options=_OPTIONS)
    target = targets(settings.address, settings.tls)(service)
    opened: grpc.Channel = open_channel(grpc, target, settings.tls, _OPTIONS)
    return opened


def connected(settings: StackSettings) -> AsyncStockade:
    """The SDK's view of the stack that the settings name."""
    if settings.address:
        return AsyncStockade.connect(address=settings.address, tls=settings.tls)
    return AsyncStockade.connect(settings.run_dir)


def export_spans(settings: StackSettings, name: str) -> None:
    """Send this command's spans to the stack's audit daemon; to one elsewhere, its own sidecar sends them."""
    from stockade_rpckit import tracing

    tracing.setup(name, [] if settings.address else [f"unix:{settings.socket('audit')}"])


@contextmanager
def stub(kind: Callable[[grpc.Channel], Any], service: str) -> Iterator[Any]:
    """A generated stub of class `kind` on the channel to a service by its short name."""
    with channel(service) as to:
        yield kind(to)


def followed(call: Any) -> Iterator[Any]:
    """The answers of a stream until Ctrl-C, which cancels it.

    Raised in the midst of gRPC, a KeyboardInterrupt can be swallowed, or leave behind a lock that the channel's end
    waits for.
    """
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        call.cancel()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield from call
    except grpc.RpcError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


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
