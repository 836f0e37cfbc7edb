"""A service's process: its listeners, health, reflection, background work, and an end that loses nothing."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import uvloop
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from stockade_audit import Journal
from stockade_audit.errors import AuditError

from stockade_rpckit import logs, metrics, threads, tracing
from stockade_rpckit.channel import MAX_MESSAGE_BYTES
from stockade_rpckit.errors import FailureTable
from stockade_rpckit.handshakes import Handshakes
from stockade_rpckit.health import Health
from stockade_rpckit.listeners import Listener, TlsListener, listeners, mesh_listeners
from stockade_rpckit.logs import get_logger
from stockade_rpckit.metrics import Reading
from stockade_rpckit.pipeline import Pipeline, PipelineInterceptor
from stockade_rpckit.recording import Describe, Recorder
from stockade_rpckit.settings import ServiceSettings, refuse

log = get_logger(__name__)

PARTS_SECONDS = 0.5

S = TypeVar("S", bound=ServiceSettings)

LEAVE_SECONDS = 1.5
"""How long a service of a mesh serves on after its health has said that it leaves: by then, checks half a second apart
have seen that twice, and no call is on its way here that would meet a closed door."""
SETTLE_SECONDS = 2.0
"""How long functions on threads may take to end before what they use is closed."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True)
class Served:
    """One gRPC service of a process.

    `service` is its full name ("stockade.sandbox.v1.SandboxService"), `add` the generated registration function,
    `describe` maps an RPC's name to what its request says for the audit record.
    """

    service: str
    add: Callable[[Any, Any], None]
    handler: object
    describe: Mapping[str, Describe] = field(default_factory=dict)


@dataclass(frozen=True)
class Wiring:
    """A service put together: what it serves and what runs beside.

    `background` are coroutine functions that run as long as the service; one that ends or fails ends the process,
    which its supervisor starts again. `on_drain` runs after the last call has ended and before the journal closes.
    `parts` are what the service can do without, by the name that its health has them under, and whether they are there.
    `takes` are calls that it may have no room for while it serves on, by such names, and whether it takes one more.
    `readings` are its metrics beside those that every service has.
    """

    served: Sequence[Served]
    journal: Journal
    failures: FailureTable = field(default_factory=dict)
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    on_drain: Callable[[], Awaitable[None]] | None = None
    parts: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    takes: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    readings: Sequence[Reading] = ()


def run_service(name: str, settings: S, wire: Callable[[S], Awaitable[Wiring]]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `name` is the short name: sandbox, policy, cache or audit."""
    handshakes = Handshakes()
    if settings.listen:
        handshakes.watch()
    logs.configure(settings.log_level)
    tracing.setup(f"stockade-{name}", [f"unix:{settings.run_dir}/services/audit.sock"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(name, settings, wire, handshakes))


async def _serve(name: str, settings: S, wire: Callable[[S], Awaitable[Wiring]], handshakes: Handshakes) -> None:
    found = [*listeners(settings.run_dir, name), *mesh_listeners(settings, name)]
    if not found:
        refuse(f"{settings.run_dir} has no directory to listen in; `stockade up` prepares them")
    for listener in found:
        listener.claim()
    stopping = _stop_signal()
    try:
        wiring = await wire(settings)
    except AuditError as error:  # a journal that is damaged, held by another process, or has no room
        refuse(str(error))
    wiring.journal.on_durable = metrics.observe_journal_wait
    _spare_the_collector()
    recorder = Recorder(name, wiring.journal, _describe(wiring))
    health = Health(wiring.takes)
    servers = [await _listen(listener, wiring, recorder, health) for listener in found]
    readings = [*_readings(wiring), *wiring.readings]
    told = [await metrics.serve(listener.metrics, readings) for listener in found if listener.metrics]

    async def count_refused() -> None:
        for why, count in handshakes.taken().items():
            recorder.fold_unheard("HANDSHAKE_REFUSED", {"listener": settings.listen, "why": why}, count)

    background = [asyncio.ensure_future(recorder.folds.run(count_refused))]
    background += [asyncio.ensure_future(work()) for work in wiring.background]
    background.append(asyncio.ensure_future(_watch_parts(health, wiring)))
    for service in ("", *(served.service for served in wiring.served)):
        await health.tell(service, True)
    log.info("serving", extra={"service": name, "listeners": [str(listener.path) for listener in found]})
    crashed = await _wait(stopping, background)
    await health.enter_graceful_shutdown()
    if settings.in_mesh and not crashed:
        await asyncio.sleep(LEAVE_SECONDS)
    await asyncio.gather(*(server.stop(settings.drain_seconds) for server in servers))
    await count_refused()
    await _end(wiring, recorder, background)
    for server in told:
        server.close()
    for listener in found:
        listener.remove()
    log.info("stopped", extra={"service": name})
    if crashed:
        raise SystemExit(1)


def _spare_the_collector() -> None:
    """What is there at the start stays: looking through it takes 40 ms each time, in which nobody is answered."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


class Unregistered:
    """Takes handlers for a server, to be found by name: grpc.aio waits anew for each registered method with every call.

    That is 36 futures a call in the audit daemon (https://github.com/grpc/grpc/pull/43461).
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """Leaves it at the generic ones."""


async def _listen(
    listener: Listener | TlsListener, wiring: Wiring, recorder: Recorder, health: Health
) -> grpc.aio.Server:
    pipeline = Pipeline(listener.authenticate, recorder, wiring.failures)
    server = grpc.aio.server(interceptors=[PipelineInterceptor(pipeline)], options=(*_OPTIONS, *listener.options))
    taking = Unregistered(server)
    health_pb2_grpc.add_HealthServicer_to_server(health, taking)
    for served in wiring.served:
        served.add(served.handler, taking)
    names = [served.service for served in wiring.served] + [reflection.SERVICE_NAME, "grpc.health.v1.Health"]
    reflection.enable_server_reflection(names, server, descriptor_pool.Default())
    listener.bind(server)
    await server.start()
    listener.open_to_directory()
    return server


def _readings(wiring: Wiring) -> list[Reading]:
    """What every service tells of itself."""
    journal = wiring.journal
    return [
        Reading("stockade_journal_waiting", "Appends that are not durable yet.", lambda: journal.waiting),
        Reading(
            "stockade_record_unavailable", "1 while the record cannot be written.", lambda: bool(journal.unavailable)
        ),
        Reading("stockade_spans_dropped_total", "Spans that could not be delivered.", tracing.dropped),
        Reading("stockade_blocking_calls", "Functions that run on a thread or wait for one.", threads.running),
        Reading(
            "stockade_part_up",
            "1 where a part that the service can do without is there.",
            lambda: {name: float(is_there()) for name, is_there in wiring.parts.items()},
            label="part",
        ),
    ]


async def _wait(stopping: asyncio.Event, background: Sequence[asyncio.Future[None]]) -> bool:
    """Until a signal (False), or until background work ends that should not (True)."""
    stop = asyncio.ensure_future(stopping.wait())
    waiting: list[asyncio.Future[Any]] = [stop, *background]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    ended = [work for work in background if work.done()]
    for work in ended:
        log.error("background work ended", exc_info=work.exception())
    return bool(ended)


async def _end(wiring: Wiring, recorder: Recorder, background: Sequence[asyncio.Future[None]]) -> None:
    for work in background:
        work.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    if not await threads.settle(SETTLE_SECONDS):
        log.warning("blocking work goes on while the service ends")
    if wiring.on_drain:
        await wiring.on_drain()
    await recorder.folds.close()
    wiring.journal.close()
    tracing.shutdown()


async def _watch_parts(health: Health, wiring: Wiring) -> None:
    """Keep the health of the service's parts, for ever."""
    while True:
        for name, is_there in wiring.parts.items():
            await health.tell(name, is_there())
        await asyncio.sleep(PARTS_SECONDS)


def _describe(wiring: Wiring) -> dict[str, Describe]:
    return {rpc: read for served in wiring.served for rpc, read in served.describe.items()}


def _stop_signal() -> asyncio.Event:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    return event
