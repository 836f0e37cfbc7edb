"""A served probe: the real pipeline on real Unix sockets, over a real journal, its spans kept in memory."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from stockade_audit import Journal
from stockade_rpckit.errors import Failure
from stockade_rpckit.listeners import listeners
from stockade_rpckit.pipeline import Pipeline, PipelineInterceptor
from stockade_rpckit.recording import Recorder

from support.probe import Prober, background, stubs
from support.served import Served, spans


def _not_found(error: Exception) -> Failure:
    return Failure(grpc.StatusCode.NOT_FOUND, "SANDBOX_NOT_FOUND", str(error))


@pytest.fixture(scope="session", autouse=True)
def _tracing() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    for place in ("operators/ada", "auditors/bob", "services", "gate"):
        (tmp_path / "run" / place).mkdir(parents=True)
    journal = Journal.open(tmp_path / "journals", service="probe", slot="probe-0")
    recorder = Recorder("probe", journal, {})
    spans.clear()
    with background() as loop:

        async def start() -> list[grpc.aio.Server]:
            servers = []
            for listener in listeners(tmp_path / "run", "probe"):
                pipeline = Pipeline(listener.authenticate, recorder, {LookupError: _not_found})
                server = grpc.aio.server(interceptors=[PipelineInterceptor(pipeline)])
                stubs.add_ProbeServicer_to_server(Prober(), server)
                server.add_insecure_port(f"unix:{listener.path}")
                await server.start()
                servers.append(server)
            return servers

        servers = loop.run(start())
        found = Served(tmp_path / "run", tmp_path / "journals", recorder, loop.run)
        yield found
        for channel in found.channels:
            channel.close()
        for server in servers:
            loop.run(server.stop(None))
    journal.close()
