"""Each evaluation of a flag is a span by OpenTelemetry's conventions; a look at the walls evaluates nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stockade_agent import AgentFlags, FileProvider


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_evaluations_are_spans(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"flags": {"sandbox-required": {"test-generator": 100, "default": 0}}}))
    with AgentFlags("writer-1", "test-generator", FileProvider(file)) as flags:
        evaluated = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
        for _ in range(100):
            assert flags.walls.sandbox_required
        assert len(spans.get_finished_spans()) == len(evaluated)
    assert {span.name for span in spans.get_finished_spans()} == {"feature_flag.evaluation"}
    raised = next(each for each in evaluated if each["feature_flag.key"] == "sandbox-required")
    assert raised["feature_flag.result.value"] is True
    assert raised["feature_flag.result.reason"]
