"""One trace from the command line to the record, in a real OTLP receiver: who emits what, and under whom."""

import re
from collections.abc import Iterator

import pytest

from support.otlp import Receiver, Span, receiver
from support.stack import ALLOWED, REFUSED, Stack, running_stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

EDGES = [
    # (service, span) under (service, span)
    (("stockade-sandbox", "stockade.sandbox.v1.SandboxService/CreateSandbox"), ("stockade-cli", "stockade.run")),
    (
        ("stockade-policy", "stockade.networkpolicy.v1.GateService/OpenDoor"),
        ("stockade-sandbox", "stockade.networkpolicy.v1.GateService/OpenDoor"),
    ),
    (("stockade-sandbox", "stockade.sandbox.v1.ExecService/Exec"), ("stockade-cli", "stockade.run")),
    (("stockade-sandbox", "sandbox.exec"), ("stockade-sandbox", "stockade.sandbox.v1.ExecService/Exec")),
    (("stockade-sandbox", "process"), ("stockade-sandbox", "sandbox.exec")),
    (("stockade-gate", "gate.request"), ("stockade-sandbox", "process")),
    (("stockade-policy", "policy.judge"), ("stockade-gate", "async judge egress")),
    (("stockade-sandbox", "stockade.sandbox.v1.SandboxService/DeleteSandbox"), ("stockade-cli", "stockade.run")),
    (("stockade-audit", "stockade.audit.v1.AuditService/ListEntries"), ("stockade-cli", "stockade.run")),
]

ASK = f"""
import os, urllib.error, urllib.request
for host in ("{ALLOWED}", "{REFUSED}"):
    request = urllib.request.Request(f"http://{{host}}/", headers={{"traceparent": os.environ["TRACEPARENT"]}})
    try:
        print(urllib.request.urlopen(request, timeout=10).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


@pytest.fixture(scope="module")
def traced() -> Iterator[tuple[Stack, Receiver]]:
    """A stack that sends its spans to a receiver of ours."""
    with receiver() as kept, running_stack(STOCKADE_AUDIT_OTLP_ENDPOINT=kept.endpoint) as stack:
        yield stack, kept


def test_one_trace_joins_every_part(traced: tuple[Stack, Receiver]) -> None:
    stack, kept = traced
    done = stack.run("python3", "-c", ASK)
    assert done.stdout.split() == ["200", "403"], done.stderr
    (trace,) = re.findall(r"trace show ([0-9a-f]{32})", done.stderr)

    spans = kept.wait(trace, lambda spans: _missing(spans) == [] and len(_named(spans, "gate.request")) == 2)
    assert _missing(spans) == []
    assert len(spans) >= 7
    assert {span.service for span in spans} >= {
        f"stockade-{part}" for part in ("cli", "sandbox", "gate", "policy", "audit")
    }
    assert _orphans(spans) == []
    assert [span.name for span in spans if span.status == 2] == ["async judge egress"], "Envoy's word for a 403"
    assert {span.attributes.get("rpc.response.status_code", "OK") for span in spans} == {"OK"}

    shown = stack.stockade("trace", "show", trace)
    assert f"{len(spans)} spans" in shown.stdout, "what is kept here is what was sent on"


def test_each_decision_of_the_trace_is_in_the_record(traced: tuple[Stack, Receiver]) -> None:
    stack, _ = traced
    done = stack.run("python3", "-c", ASK)
    (trace,) = re.findall(r"trace show ([0-9a-f]{32})", done.stderr)
    listed = stack.stockade("audit", "list", "--trace", trace, "--json")
    assert listed.returncode == 0, listed.stderr
    for action, host in (("ALLOWED", ALLOWED), ("BLOCKED", REFUSED)):
        assert re.search(rf'"action": ?"{action}"', listed.stdout), listed.stdout
        assert host in listed.stdout


def _missing(spans: list[Span]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """The edges of the table that are not among the spans."""
    by_id = {span.id: (span.service, span.name) for span in spans}
    found = {((span.service, span.name), by_id.get(span.parent)) for span in spans}
    return [edge for edge in EDGES if edge not in found]


def _orphans(spans: list[Span]) -> list[str]:
    """Spans whose parent never came; the root has none."""
    ids = {span.id for span in spans}
    return [span.name for span in spans if span.parent and span.parent not in ids]


def _named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]
