"""What the steps of a session share: channels, the sandbox, and how a failed call is told."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

WAIT_S = 20.0


class Context:
    """Channels to the services, and the sandbox that the session made."""

    def __init__(self, targets: dict[str, str], tls: dict[str, str] | None) -> None:
        self._targets, self._tls = targets, tls
        self._channels: dict[str, grpc.Channel] = {}
        self.sandbox = self.node = ""

    def stub(self, kind: Callable[[grpc.Channel], Any], service: str) -> Any:
        """A stub of class `kind` on the channel to a service, by its short name."""
        target = self._targets[service]
        if target not in self._channels:
            channel = open_channel(target, self._tls)
            self._channels[target] = grpc.intercept_channel(channel, ToNode(self))
        return kind(self._channels[target])


class ToNode(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Names the sandbox's node in every call, by which a mesh leads the call there."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _go(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        if not self._context.node:
            return proceed(details, request)

        class Details(grpc.ClientCallDetails):
            method, timeout, credentials = details.method, details.timeout, details.credentials
            metadata = (*(details.metadata or ()), ("x-stockade-node", self._context.node))
            wait_for_ready, compression = details.wait_for_ready, details.compression

        return proceed(Details(), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = _go


def open_channel(target: str, tls: dict[str, str] | None) -> grpc.Channel:
    """A channel to a local socket, or over TLS where `tls` names PEM files."""
    options = (("grpc.max_receive_message_length", 16 << 20),)
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    read = {name: Path(path).read_bytes() for name, path in tls.items()}
    credentials = grpc.ssl_channel_credentials(read["ca"], read.get("key"), read.get("cert"))
    return grpc.secure_channel(target, credentials, options=options)


def failure(error: grpc.RpcError) -> dict[str, Any]:
    """Code, and what google.rpc's details say: reason, domain, metadata, and the fields that break a rule."""
    told: dict[str, Any] = {"code": error.code().value[0]}
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            told |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
        elif detail.Unpack(bad):
            told["fields"] = [violation.field for violation in bad.field_violations]
    return told


def polled(read: Callable[[], Any]) -> Iterator[Any]:
    """What `read` answers, again and again until time is up."""
    end = time.monotonic() + WAIT_S
    while True:
        yield read()
        if time.monotonic() > end:
            return
        time.sleep(0.1)
