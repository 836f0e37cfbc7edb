"""The example agent, whole: a sandbox, the cache over api.sock, the gate, and a report that arrives."""

import json
import re
import subprocess
from typing import Any

import pytest

from support.stack import ALLOWED, ROOT, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate, pytest.mark.timeout(300)]

EXAMPLE = ROOT / "examples/test_generator"


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    subprocess.run([EXAMPLE / "build"], check=True)


def generate(stack: Stack, module: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """One run for `module`, and the report that reached the origin."""
    before = len(stack.origin.heads)
    done = stack.stockade(
        "run",
        "--agent-type=qe-test-generator",
        "--image=stockade/example-test-generator",
        f"--env=REPORT_URL=http://{ALLOWED}/report",
        "--",
        *("python3", "/opt/agent/main.py", "--module", module),
    )
    reports = [part for part in stack.origin.heads[before:] if part.startswith("{")]
    return done, json.loads(reports[-1]) if reports else {}


def line(done: subprocess.CompletedProcess[str], step: str) -> str:
    """The first line of the story about `step`."""
    found = re.search(rf"^  {step} +(.*)$", done.stdout, re.MULTILINE)
    return found[1] if found else f"nothing about {step} in: {done.stdout}{done.stderr}"


def test_an_agent_writes_tests_and_cannot_do_more_than_it_may(stack: Stack) -> None:
    stack.stockade("cache", "clear", "--writer", "agent/test-generator-root")
    done, report = generate(stack, "bisect")
    assert done.returncode == 0, done.stdout + done.stderr
    assert line(done, "read") == "bisect: 4 functions"
    assert "0 from the cache, 4 computed" in line(done, "embed")
    assert report["near_duplicates"] == {"insort_left": "insort_right", "bisect_left": "bisect_right"}
    assert report["passed"] == report["tests"] > 0
    assert (report["failed"], report["unnoticed"]) == (0, [])
    assert line(done, "report").endswith("-> 200")
    assert line(done, "refused").startswith("http://example.com/ -> 403 example.com is not among the domains")
    assert re.findall(r"socket +\S+ -> (.*)", done.stdout) == ["Network is unreachable"] * 2

    again, report = generate(stack, "bisect")
    assert "warm: 4 from the cache, 0 computed" in line(again, "embed")
    assert (report["cache_hits"], report["computed"]) == (4, 0)


@pytest.mark.parametrize(("module", "mend"), [("no_such_module", "No module named"), ("math", "built-in module")])
def test_a_module_without_source_ends_in_one_line(stack: Stack, module: str, mend: str) -> None:
    done, report = generate(stack, module)
    assert done.returncode == 1
    said = done.stderr.splitlines()[0]
    assert mend in said
    assert said.endswith("name another module")
    assert report == {}
