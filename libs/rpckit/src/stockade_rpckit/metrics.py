"""Metrics: counted beside the calls, and told in Prometheus' text on sockets that people and services reach.

What happens often is an instrument of prometheus_client (0.6 µs a measurement; OpenTelemetry's take 5 µs in Python).
What a service knows anyway is a `Reading`, taken when somebody asks. Names, units and attributes are those that
OpenTelemetry's conventions have in Prometheus: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics/.
No label names an agent, a person, a sandbox or a host: metrics are copies that nobody erases.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stockade_rpckit import sockets
from stockade_rpckit.logs import get_logger

log = get_logger(__name__)

ANSWER_S = 5.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_WAITS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
"""Where a service's own instruments are registered, too."""
ProcessCollector(registry=REGISTRY)
_CALLS = Histogram(
    "rpc_server_call_duration_seconds",
    "Time from a call's first byte to its status.",
    ("rpc_method", "rpc_response_status_code"),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
_JOURNAL_WAIT = Histogram(
    "stockade_journal_wait_seconds", "Time until entries were durable.", buckets=_WAITS, registry=REGISTRY
)
_calls: dict[tuple[str, str], Histogram] = {}


def observe_call(method: str, code: str, seconds: float) -> None:
    """Count one call of `method` ("package.Service/Method") that ended with the status `code` ("OK")."""
    calls = _calls.get((method, code))
    if calls is None:  # `labels` takes a lock and longer than all the rest
        calls = _calls[method, code] = _CALLS.labels(method, code)
    calls.observe(seconds)


def observe_journal_wait(seconds: float) -> None:
    """Count one append that became durable."""
    _JOURNAL_WAIT.observe(seconds)


Value = float | Mapping[str, float]


@dataclass(frozen=True)
class Reading:
    """A number that the service keeps anyway. A name that ends in _total is a counter's, others are gauges'.

    `read` returns it, or what it is for each value of `label`; it may be a coroutine function.
    """

    name: str
    help: str
    read: Callable[[], Value | Awaitable[Value]]
    label: str = ""

    async def family(self) -> Metric:
        """The metric as it is now."""
        value = self.read()
        found = await value if inspect.isawaitable(value) else value
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        family = kind(self.name, self.help, labels=[self.label] if self.label else ())
        for labels, number in _labelled(found):
            family.add_metric(labels, number)
        return family


def _labelled(value: Value) -> Iterator[tuple[list[str], float]]:
    if isinstance(value, Mapping):
        yield from (([label], number) for label, number in value.items())
    else:
        yield [], value


class Families(list[Metric], Collector):
    """Metrics as prometheus_client wants to be given them."""

    def collect(self) -> Iterator[Metric]:
        return iter(self)


async def exposition(readings: Sequence[Reading]) -> bytes:
    """All metrics of this process as Prometheus' text. A reading that fails is left out, and logged."""
    families = Families(REGISTRY.collect())
    for reading in readings:
        try:
            families.append(await reading.family())
        except Exception as error:
            log.warning("a metric cannot be read", extra={"metric": reading.name, "error": str(error)})
    return generate_latest(families)


async def serve(path: Path, readings: Sequence[Reading]) -> asyncio.Server:
    """Answer GET /metrics on a free path, to whoever can enter its directory."""
    server = await asyncio.start_unix_server(partial(_answer, readings), path)
    sockets.open_to_directory(path)
    return server


async def _answer(readings: Sequence[Reading], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(ANSWER_S):
            head = await reader.readuntil(b"\r\n\r\n")
            found = head.startswith((b"GET /metrics ", b"GET /metrics?"))
            body = await exposition(readings) if found else b"GET /metrics\n"
            status = "200 OK" if found else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\n".encode())
            writer.write(f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # whoever asked went away, or asked nothing
    finally:
        writer.close()
