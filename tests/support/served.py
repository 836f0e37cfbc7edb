"""A served probe as tests see it: stubs on its sockets, the entries of its journal, the spans it made."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stockade_audit.reader import journals
from stockade_rpckit.recording import Recorder

from support.journals import leaves
from support.probe import stubs

spans = InMemorySpanExporter()


@dataclass
class Served:
    """Where the probe is served, and what became of its calls."""

    run_dir: Path
    journals: Path
    recorder: Recorder
    run: Callable[[Any], Any]
    channels: list[grpc.Channel] = field(default_factory=list)

    def stub(self, place: str) -> Any:
        """A sync stub on the socket in a directory of run_dir, e.g. "operators/ada"."""
        channel = grpc.insecure_channel(f"unix:{self.run_dir}/{place}/probe.sock")
        self.channels.append(channel)
        return stubs.ProbeStub(channel)

    def entries(self) -> list[dict[str, Any]]:
        """Every leaf written so far, in order."""
        self.run(self.recorder.folds.flush())
        return [entry for directory in journals(self.journals) for entry in leaves(directory)]

    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended; a span ends after its caller has the answer, so wait for the first."""
        deadline = time.monotonic() + 5
        while not spans.get_finished_spans() and time.monotonic() < deadline:
            time.sleep(0.01)
        return spans.get_finished_spans()
