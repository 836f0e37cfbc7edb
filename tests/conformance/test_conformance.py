"""The conformance session against the session's stack: Python and Go always, the others in `make test-long`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import inside, report, session
from conformance.__main__ import operator_of
from conformance.programs import JAVA, PROGRAMS, RUST, TYPESCRIPT, Program
from conformance.table import Judgement, Mark, Step, judge
from support.stack import Stack

pytestmark = pytest.mark.docker
LONG = (JAVA, TYPESCRIPT, RUST)
BUILDS_S = 600


def by_language(*, inside: bool = False) -> list[object]:
    """Each program as a parameter; the slow ones to build are marked."""
    programs = (program for program in PROGRAMS.values() if program.inside or not inside)
    return [
        pytest.param(program, id=program.language, marks=pytest.mark.long if program in LONG else ())
        for program in programs
    ]


@pytest.fixture
def built(request: pytest.FixtureRequest) -> Program:
    """The program, built; skipped where its toolchain is absent."""
    program: Program = request.param
    if missing := program.missing():
        pytest.skip(f"no {missing} on this machine")
    program.make()
    return program


@pytest.mark.timeout(BUILDS_S)
@pytest.mark.parametrize("built", by_language(), indirect=True)
def test_session(built: Program, stack: Stack, tmp_path: Path) -> None:
    outcome = session.over_sockets(built, operator_of(stack), tmp_path)
    assert not report.failed([outcome]), report.table([outcome])

    assert chain_of(stack, tmp_path / f"{built.language}.session.json") == CHAIN


CHAIN = [
    ("stockade-sandbox", "stockade.sandbox.v1.ExecService/RunCommand"),
    ("stockade-sandbox", "sandbox.exec"),
    ("stockade-sandbox", "process"),
]
"""From the span in the client, which keeps it to itself, to the process in the sandbox: each the parent of the next."""


def chain_of(stack: Stack, session_file: Path) -> list[tuple[str, str]]:
    """In the one trace that began in the client: the way from the first span that is kept to the process."""
    agent = json.loads(session_file.read_text())["steps"][0]["with"]["agent"]
    entries = json.loads(stack.stockade("audit", "list", "--agent", agent, "--limit", "1000", "--json").stdout)
    for trace in {entry["trace_id"] for entry in entries if entry.get("trace_id")}:
        spans = json.loads(stack.stockade("trace", "show", trace, "--json").stdout)
        by_id = {span["span_id"]: span for span in spans}
        if any(span.get("parent_span_id", "") not in {"", *by_id} for span in spans):
            assert any(entry["trace_id"] == trace and entry["span_id"] in by_id for entry in entries)
            (process,) = (span for span in spans if span["name"] == "process")
            return list(_down_to(process, by_id))
    return []


def _down_to(span: dict[str, str], by_id: dict[str, dict[str, str]]) -> Iterator[tuple[str, str]]:
    if above := by_id.get(span.get("parent_span_id", "")):
        yield from _down_to(above, by_id)
    yield span["service"], span["name"]


@pytest.mark.gate
@pytest.mark.timeout(BUILDS_S)
@pytest.mark.parametrize("built", by_language(), indirect=True)
def test_session_over_mutual_tls(built: Program, stack: Stack, tmp_path: Path) -> None:
    outcome = session.over_tls(built, operator_of(stack), tmp_path)
    assert not report.failed([outcome]), report.table([outcome])


@pytest.mark.timeout(BUILDS_S)
@pytest.mark.parametrize("built", by_language(inside=True), indirect=True)
def test_session_inside_a_sandbox(built: Program, stack: Stack, tmp_path: Path) -> None:
    [outcome] = inside.run_all([built], stack.run_dir, tmp_path)
    assert not report.failed([outcome]), report.table([outcome])


STEP = Step("run", "run", {}, expect={"exit_code": 0})
REFUSED = Step("get", "get", {}, error={"code": "NOT_FOUND", "metadata": {"sandbox": "sb-1"}})
NOT_SERVED = {"code": 12, "reason": "NOT_SERVED_YET", "metadata": {"method": "ForkSandbox"}}


@pytest.mark.parametrize(
    ("step", "answer", "expected"),
    [
        pytest.param(STEP, {"result": {"exit_code": 0, "more": 1}}, Mark.PASSED, id="what-is-asked-for"),
        pytest.param(STEP, {"result": {"exit_code": 1}}, Mark.FAILED, id="another-value"),
        pytest.param(STEP, {"result": {}}, Mark.FAILED, id="no-value"),
        pytest.param(STEP, {"error": {"code": 14}}, Mark.FAILED, id="an-error-for-a-result"),
        pytest.param(STEP, {"broken": "KeyError"}, Mark.FAILED, id="a-fault-of-the-client"),
        pytest.param(STEP, None, Mark.FAILED, id="no-answer"),
        pytest.param(STEP, {"error": NOT_SERVED}, Mark.NOT_SERVED, id="not-served"),
        pytest.param(REFUSED, {"error": {"code": 5, "metadata": {"sandbox": "sb-1"}}}, Mark.PASSED, id="the-error"),
        pytest.param(REFUSED, {"error": {"code": 5, "metadata": {"sandbox": "sb-2"}}}, Mark.FAILED, id="other-detail"),
        pytest.param(REFUSED, {"error": {"code": 7, "metadata": {"sandbox": "sb-1"}}}, Mark.FAILED, id="another-code"),
        pytest.param(REFUSED, {"result": {}}, Mark.FAILED, id="a-result-for-an-error"),
    ],
)
def test_a_step_is_judged_by_the_table(step: Step, answer: dict[str, object] | None, expected: Mark) -> None:
    judgement: Judgement = judge(step, answer)
    assert judgement.mark is expected
    assert judgement.why or expected is Mark.PASSED
