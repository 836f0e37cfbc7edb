"""A served probe as tests see it: stubs on its sockets, the entries of its journal, the spans it made."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stockade_rpckit.recording import Recorder

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
        found = []
        for segment in sorted(self.journals.rglob("*")):
            if segment.is_file():
                found += list(_leaves(segment.read_bytes()))
        return found

    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended; a span ends after its caller has the answer, so wait for the first."""
        deadline = time.monotonic() + 5
        while not spans.get_finished_spans() and time.monotonic() < deadline:
            time.sleep(0.01)
        return spans.get_finished_spans()


def _leaves(data: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects within a segment, whatever frames them."""
    decoder, text, at = json.JSONDecoder(), data.decode("latin-1"), 0
    while (at := text.find('{"', at)) >= 0:
        try:
            leaf, at = decoder.raw_decode(text, at)
        except ValueError:
            at += 1
            continue
        if "action" in leaf:
            yield leaf
