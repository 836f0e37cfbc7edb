"""The examples, run as their first lines say, against the session's stack."""

import json
import os
import subprocess
import sys

import pytest

from support.stack import ALLOWED, ROOT, Stack

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
