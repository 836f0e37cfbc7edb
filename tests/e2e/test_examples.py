"""The examples, run as their first lines say, against the session's stack."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stockade_agent import Stockade

from conformance.programs import GO, PYTHON, RUST, TOOLS, TYPESCRIPT
from support.stack import ALLOWED, REFUSED, ROOT, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


def run(stack: Stack, example: str, *words: str) -> str:
    """What it prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / example, *words],
        env=os.environ | stack.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def left(stack: Stack, agent: str) -> list[str]:
    listed = json.loads(stack.stockade("sandbox", "list", "--json").stdout)
    return [each["name"] for each in listed if each["agent"].startswith(agent)]


def test_a_fleet_of_twenty(stack: Stack) -> None:
    said = run(stack, "fleet/fleet.py", ALLOWED)
    assert f"sum of squares below 1000: {sum(n * n for n in range(1000))}" in said
    assert "test-generator: 5 × 200" in said
    assert "default: 5 × 0" in said
    assert left(stack, "fleet-") == []


LANGUAGES = {
    "python": replace(PYTHON, inside=["env", "PYTHONPATH=packages", "python3", "agent.py"]),
    "go": replace(GO, build=[["go", "build", "-trimpath", "-ldflags=-s -w", "-o", "agent", "."]], inside=["./agent"]),
    "typescript": replace(TYPESCRIPT, inside=["node", "agent.mjs"]),
    "rust": replace(
        RUST,
        build=[RUST.build[0], ["cp", f"{TOOLS}/rust/target/debug/stockade-example", "agent"]],
        inside=["./agent"],
    ),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "language",
    [pytest.param(name, marks=pytest.mark.long if name in ("typescript", "rust") else ()) for name in LANGUAGES],
)
def test_an_agent_in_each_language(stack: Stack, tmp_path: Path, language: str) -> None:
    program = replace(LANGUAGES[language], sources=ROOT / "examples/languages", place=ROOT / "build/examples")
    if missing := program.missing():
        pytest.skip(f"no {missing} on this machine")
    program.make()
    program.stage(tmp_path)
    with (
        Stockade.connect(stack.run_dir) as stockade,
        stockade.sandbox(f"in-{language}", agent_type="test-generator") as box,
    ):
        box.upload(tmp_path)
        done = box.run(*program.inside, ALLOWED, REFUSED)
    assert done.stdout.decode().splitlines() == [
        f"{ALLOWED} ALLOW allowed_domains:{ALLOWED}",
        f"{REFUSED} DENY block_unknown_domains",
    ], done.stderr


def test_a_langchain_agent(stack: Stack) -> None:
    said = run(stack, "langchain_agent/agent.py")
    assert "SyntaxError" in said
    assert said.rstrip().endswith("There are 168.")
    assert left(stack, "chain-agent") == []


def test_an_mcp_session(stack: Stack) -> None:
    said = run(stack, "mcp_session/session.py")
    assert "42" in said
    assert "34 notes.txt" in said
    assert "fetch_url (refused)" in said
    assert "BLOCKED by block_unknown_domains: example.com is not among" in said
    assert left(stack, "mcp-example") == []
