"""Finding a stack and speaking with its services."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from stockade_agent.errors import StockadeError

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType

    import grpc

    from stockade_agent.addresses import Tls
    from stockade_agent.sandbox import AsyncSandbox, Sandbox

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_RUN_DIR = Path("/run/stockade")
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
NODE_HEADER = "x-stockade-node"
"""Says to a mesh on which node the sandbox is that a call names."""
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)


def open_channel(library: Any, target: str, tls: Tls | None, options: tuple[tuple[str, Any], ...]) -> Any:
    """A channel of `library`, `grpc` or `grpc.aio`, with TLS where there is some and `target` is no Unix socket.

    Raises Untrusted for files that no server would believe.
    """
    if tls is None or target.startswith("unix:"):
        return library.insecure_channel(target, options=options)
    return library.secure_channel(target, tls.credentials(), options=(*options, *tls.options))


class AsyncStockade:
    """A stack, for code that awaits. Close it, or use it as an async context manager."""

    def __init__(self, target: Callable[[str], str], tls: Tls | None = None) -> None:
        """`target` maps a service's short name ("sandbox", "policy", "cache", "audit") to a gRPC target."""
        self._target, self._tls = target, tls
        self._channels: dict[str, grpc.aio.Channel] = {}

    @classmethod
    def connect(
        cls, run_dir: Path | str | None = None, *, address: str | None = None, tls: Tls | None = None
    ) -> AsyncStockade:
        """The stack whose sockets are in `run_dir`: by default STOCKADE_STACK_RUN_DIR, else /run/stockade.

        Inside a sandbox that directory holds `api.sock`, which leads to every service as the agent that the sandbox
        belongs to; outside, the operator's own directory is used. With an `address` (by default, and where no `run_dir`
        is given, STOCKADE_STACK_ADDRESS), it is the stack there instead, see `addresses.targets`, reached with `tls`
        (by default STOCKADE_STACK_TLS_*). No call is made before the first one. Raises InvalidRequest for an address
        that is none.
        """
        if run_dir is None and address is None:
            address = os.environ.get("STOCKADE_STACK_ADDRESS")
        if address:
            from stockade_agent.addresses import Tls, targets

            tls = tls or Tls.from_environment()
            return cls(targets(address, tls), tls)
        return cls(_targets(Path(run_dir or os.environ.get("STOCKADE_STACK_RUN_DIR") or DEFAULT_RUN_DIR)))

    def sandbox(self, agent: str, **request: Any) -> AsyncSandbox:
        """A sandbox for `agent`, created on entering it as an async context manager and deleted on leaving it.

        `request` are the further arguments of `AsyncSandbox.create`.
        """
        from stockade_agent.sandbox import AsyncSandbox

        return AsyncSandbox(self, agent=agent, **request)

    async def restore(self, snapshot: str, *, lifetime: timedelta | None = None) -> AsyncSandbox:
        """A new sandbox from a snapshot, which goes on from its memory where that was kept. Raises StockadeError."""
        from stockade.sandbox.v1 import sandbox_service_pb2, sandbox_service_pb2_grpc

        from stockade_agent.sandbox import AsyncSandbox

        request = sandbox_service_pb2.RestoreSandboxRequest(snapshot=snapshot, lifetime=lifetime)
        with typed_errors():
            service = self.stub(sandbox_service_pb2_grpc.SandboxServiceStub, "sandbox")
            answer = await service.RestoreSandbox(request, metadata=trace_metadata())
        return AsyncSandbox.described(self, answer.sandbox)

    def channel(self, service: str) -> grpc.aio.Channel:
        """The channel to a service by its short name, for use with the generated stubs."""
        import grpc

        if service not in self._channels:
            options = (*_OPTIONS, ("grpc.service_config", _service_config()))
            self._channels[service] = open_channel(grpc.aio, self._target(service), self._tls, options)
        return self._channels[service]

    def stub(self, kind: Callable[[grpc.aio.Channel], Any], service: str) -> Any:
        """A generated stub of class `kind` on the channel to `service`."""
        return kind(self.channel(service))

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def __aenter__(self) -> AsyncStockade:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Portal:
    """An event loop on a thread of its own, in which blocking code runs coroutines."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stockade", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run `work` to its end; when the waiting is interrupted, `work` is cancelled first."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[[], R]) -> R:
        """Call a function that must run in the loop."""

        async def work() -> R:
            return function()

        return self.run(work())

    def iterate(self, items: AbstractAsyncContextManager[AsyncIterator[R]]) -> Iterator[R]:
        """Yield what an async iterator does; it is closed when this one is."""
        iterator = self.run(items.__aenter__())
        try:
            while True:
                try:
                    yield self.run(_next(iterator))
                except StopAsyncIteration:
                    return
        finally:
            self.run(items.__aexit__(None, None, None))  # type: ignore[arg-type]  # typeshed: Coroutine | Awaitable

    def close(self) -> None:
        """Cancel what still runs, then end the loop and its thread."""
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Any, P], R]:
    """The blocking form of a coroutine method, for a class that holds the async object as `_inner` and a `_portal`."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self._portal.run(method(self._inner, *args, **kwargs))
        return result

    return call


class Stockade:
    """A stack, for code that blocks. Close it, or use it as a context manager."""

    def __init__(self, inner: AsyncStockade) -> None:
        self._inner, self._portal = inner, Portal()

    @classmethod
    def connect(
        cls, run_dir: Path | str | None = None, *, address: str | None = None, tls: Tls | None = None
    ) -> Stockade:
        """As `AsyncStockade.connect`."""
        return cls(AsyncStockade.connect(run_dir, address=address, tls=tls))

    def sandbox(self, agent: str, **request: Any) -> Sandbox:
        """As `AsyncStockade.sandbox`, for `with`."""
        from stockade_agent.sandbox import Sandbox

        return Sandbox(self._inner.sandbox(agent, **request), self._portal)

    def restore(self, snapshot: str, *, lifetime: timedelta | None = None) -> Sandbox:
        """As `AsyncStockade.restore`."""
        from stockade_agent.sandbox import Sandbox

        return Sandbox(self._portal.run(self._inner.restore(snapshot, lifetime=lifetime)), self._portal)

    def close(self) -> None:
        """Close all channels and the loop behind them."""
        self._portal.run(self._inner.close())
        self._portal.close()

    def __enter__(self) -> Stockade:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def typed_errors() -> Iterator[None]:
    """Turns a failed call into the `StockadeError` it means."""
    import grpc

    try:
        yield
    except grpc.RpcError as error:
        raise StockadeError.of(error) from error


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """What carries the caller's trace: OpenTelemetry's current span where it is in use, else TRACEPARENT."""
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry import propagate

        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        if carrier:
            return tuple(carrier.items())
    inherited = os.environ.get("TRACEPARENT", "")
    return (("traceparent", inherited),) if inherited else ()


@cache
def _service_config() -> str:
    """Deadlines and retries, made from the contract: what may be repeated is, while nobody answers."""
    from importlib.resources import files

    return files("stockade").joinpath("service_config.json").read_text()


async def _next(iterator: AsyncIterator[R]) -> R:
    return await anext(iterator)


def _targets(run_dir: Path) -> Callable[[str], str]:
    inside = run_dir / "api.sock"
    if inside.exists():
        return lambda _service: f"unix:{inside}"
    person = os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    return lambda service: f"unix:{run_dir}/operators/{person}/{service}.sock"
