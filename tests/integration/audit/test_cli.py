"""`stockade audit` and `stockade trace` against a daemon."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from support.audit_cli import STOCKADE, record, stockade
from support.auditd import Auditd, eventually
from support.journals import SLOT, entry, write


def test_list_shows_what_is_asked_for(auditd: Auditd) -> None:
    record(auditd, entry(agent="a-1", rule="r-1"), entry(agent="a-2", action="BLOCKED", domain="evil.example"))
    done = stockade(auditd, "audit", "list", "--since", "1h", "--action", "blocked")
    header, line = done.stdout.splitlines()
    assert header.split() == ["TIME", "ACTION", "WHO", "SANDBOX", "WHAT", "WHY", "STATUS", "ID"]
    assert {"BLOCKED", "a-2", "evil.example", "200"} <= set(line.split())
    found = json.loads(stockade(auditd, "audit", "list", "--agent", "a-1", "--json").stdout)
    assert [(f["journal"], f["position"], f["agent"], f["rule"]) for f in found] == [(SLOT, 0, "a-1", "r-1")]


HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e\n\rFAKE LINE\x9b31m"


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["show", "id-1"], ["show", "id-1", "--json"]])
def test_nothing_recorded_reaches_the_terminal_as_a_command(auditd: Auditd, command: list[str]) -> None:
    hostile = dict.fromkeys(("agent", "sandbox", "domain", "path", "rule", "reason", "method", "status"), HOSTILE)
    record(auditd, entry(id="id-1", metadata={HOSTILE: HOSTILE}, **hostile))
    done = stockade(auditd, "audit", *command)
    assert "FAKE LINE" in done.stdout
    assert all(c.isprintable() or c == "\n" for c in done.stdout)
    assert not [line for line in done.stdout.splitlines() if line.lstrip().startswith("FAKE")]


def test_stats_count(auditd: Auditd) -> None:
    write(auditd.journals, [90])
    auditd.until_indexed(SLOT, 90)
    done = stockade(auditd, "audit", "stats", "--by", "agent", "--by", "action", "--json", "--limit", "2")
    answer = json.loads(done.stdout)
    assert answer["rows"][0] == {"agent": "agent-0", "action": "ALLOWED", "count": 30}
    assert answer["truncated"]
    assert "90 entries in all" not in stockade(auditd, "audit", "stats", "--since", "1ms").stdout


def test_an_export_goes_to_a_file_and_never_over_one(auditd: Auditd, base: Path) -> None:
    write(auditd.journals, [90])
    auditd.until_indexed(SLOT, 90)
    command = ("audit", "export", "--format", "json", "--agent", "agent-1", "-o", str(base / "out"))
    done = stockade(auditd, *command)
    assert (done.returncode, done.stderr) == (0, "30 entries exported\n")
    lines = json.loads((base / "out").read_text())
    assert len([line for line in lines if line["type"] == "entry"]) == 30
    again = stockade(auditd, *command)
    assert again.returncode == 1
    assert "exists" in again.stderr


def test_verify_fails_when_something_does_not_fit(auditd: Auditd) -> None:
    write(auditd.journals, [90])
    auditd.until_indexed(SLOT, 90)
    done = stockade(auditd, "audit", "verify")
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]][-1] == [SLOT, "INTACT"]
    path = auditd.journals / SLOT / "00000000.seg"
    path.write_bytes(path.read_bytes().replace(b"api.example", b"apx.example", 1))
    for _ in range(2):
        done = stockade(auditd, "audit", "verify")
        assert done.returncode == 1
        assert f"NOT intact: {SLOT}" in done.stderr
    listed = eventually(lambda: json.loads(stockade(auditd, "audit", "findings", "list", "--json").stdout))
    assert [(f["kind"], f["subject"]) for f in listed] == [("FINDING_KIND_VERIFICATION_FAILED", SLOT)]


def test_a_tail_ends_when_interrupted(auditd: Auditd) -> None:
    write(auditd.journals, [30])
    auditd.until_indexed(SLOT, 30)
    command = [STOCKADE, "--run-dir", auditd.base / "run", "audit", "tail", "--json", "--agent", "agent-1"]
    environment = {**os.environ, "STOCKADE_STACK_OPERATOR": "ada"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        positions = [json.loads(process.stdout.readline())["position"] for _ in range(10)]
        write(auditd.journals, [3])
        positions.append(json.loads(process.stdout.readline())["position"])
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
    assert positions == list(range(1, 32, 3))


def test_a_trace_is_drawn_as_a_tree(auditd: Auditd) -> None:
    def span(number: int, parent: int, name: str) -> Span:
        return Span(
            trace_id=bytes(range(16)),
            span_id=number.to_bytes(8, "big"),
            parent_span_id=parent.to_bytes(8, "big") if parent else b"",
            name=name,
            start_time_unix_nano=1_795_510_539_000_000_000 + number * 1_000_000,
            end_time_unix_nano=1_795_510_539_009_000_000,
        )

    spans = [span(1, 0, "run"), span(2, 1, "create"), span(3, 2, "claim"), span(4, 1, "exec\x1b[31m")]
    request = otlp.ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])
    stub: Any = otlp_grpc.TraceServiceStub(auditd.channel("services"))  # type: ignore[no-untyped-call]
    stub.Export(request)
    shown = eventually(lambda: done.stdout if (done := stockade(auditd, "trace", "show", "000102")).stdout else None)
    title, *lines = shown.splitlines()
    assert title == f"trace {bytes(range(16)).hex()}, 4 spans"
    assert [line.split("ms")[1].strip() for line in lines] == [
        "run",
        "├─  create",
        "│  └─  claim",
        "└─  exec\\x1b[31m",
    ]
    assert stockade(auditd, "trace", "show", "ffffff").returncode == 4


def test_without_a_daemon_it_says_so_in_one_line(base: Path) -> None:
    done = stockade(Auditd(base), "audit", "list")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "stockade up" in done.stderr


def test_a_subject_is_held_released_and_erased(auditd: Auditd) -> None:
    record(auditd, entry(agent="a-1"), entry(agent="a-2"))
    held = stockade(auditd, "audit", "hold", "add", "--subject", "a-1", "--reason", "case 7").stdout.strip()
    refused = stockade(auditd, "audit", "erase", "a-1", "--reason", "asked for", "--yes")
    assert refused.returncode != 0
    assert held in refused.stderr
    assert "case 7" in stockade(auditd, "audit", "hold", "list").stdout
    assert stockade(auditd, "audit", "hold", "release", held, "--reason", "closed").returncode == 0
    done = stockade(auditd, "audit", "erase", "a-1", "--reason", "asked for", "--yes")
    assert (done.returncode, done.stdout) == (0, "1 keys destroyed, 1 rows of the index cleared\n")
    listed = stockade(auditd, "audit", "list", "--oldest-first", "--action", "allowed").stdout
    assert "a-1" not in listed
    assert "(erased)" in listed
    shown = json.loads(stockade(auditd, "audit", "list", "--action", "allowed", "--json").stdout)
    assert [(found.get("agent"), found.get("erased", False)) for found in shown] == [("a-2", False), (None, True)]
