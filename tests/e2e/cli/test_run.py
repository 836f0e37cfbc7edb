"""`stockade run` on a real stack: streams, exit codes, what it tells, and that nothing stays."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.stack import ALLOWED, REFUSED, STOCKADE, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


def sandboxes(stack: Stack) -> list[str]:
    return [each["name"] for each in json.loads(stack.stockade("sandbox", "list", "--json").stdout)]


def fetch(host: str) -> tuple[str, ...]:
    """A program that prints the status a plain request to `host` got."""
    code = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=10).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    return ("python3", "-c", code, f"http://{host}/")


def test_streams_are_kept_apart_and_the_exit_code_is_the_commands_own(stack: Stack) -> None:
    done = stack.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert done.returncode == 7
    assert done.stdout == "out\n"
    assert done.stderr.startswith("err\n")


EXITS = [
    ("a signal", ["sh", "-c", "kill -TERM $$"], {}, 143),
    ("a timeout", ["sleep", "60"], {"timeout": "500ms"}, 124),
    ("memory", ["python3", "-c", "x = bytearray(10**9)"], {"memory": "64m"}, 137),
    ("no such program", ["no-such-program"], {}, 125),
]


@pytest.mark.parametrize(("command", "options", "code"), [case[1:] for case in EXITS], ids=[case[0] for case in EXITS])
def test_exit_codes_of_our_own(stack: Stack, command: list[str], options: dict[str, str], code: int) -> None:
    done = stack.run(*command, **options)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert sandboxes(stack) == []


def test_stdin_arrives_byte_for_byte(stack: Stack) -> None:
    data = os.urandom(3_000_000)
    words = ("run", "--agent-type", "test-generator", "--", "sha256sum")
    done = stack.stockade(*words, stdin=data)
    expected = subprocess.run(["sha256sum"], input=data, check=True, capture_output=True).stdout.decode()
    assert done.stdout == expected


def test_a_command_that_does_not_read_its_stdin_ends_all_the_same(stack: Stack) -> None:
    done = stack.stockade("run", "--", "true", stdin=b"x" * 5_000_000)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_directory_is_uploaded(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("content")
    (tmp_path / "script").write_text("#!/bin/sh\ncat in/a.txt")
    (tmp_path / "script").chmod(0o755)
    done = stack.run("./script", upload=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "content")


def test_what_was_used_and_refused_is_told_with_the_entry_in_the_record(stack: Stack) -> None:
    done = stack.run(*fetch(REFUSED))
    assert done.stdout == "403\n"
    refused = next(line for line in done.stderr.splitlines() if line.startswith("  refused"))
    assert f"{REFUSED}: BLOCKED by block_unknown_domains" in refused
    entry = json.loads(stack.stockade("audit", "show", refused.split()[-1].rstrip(")"), "--json").stdout)[0]
    assert (entry["domain"], entry["action"]) == (REFUSED, "BLOCKED")
    assert "memory" in done.stderr
    assert "trace" in done.stderr


def test_an_allowed_request_reaches_the_world(stack: Stack) -> None:
    before = stack.origin.connections
    done = stack.run(*fetch(ALLOWED))
    assert done.stdout == "200\n", done.stderr
    assert stack.origin.connections == before + 1
    assert "refused  nothing" in done.stderr


def test_domains_can_be_narrowed_never_widened(stack: Stack) -> None:
    narrowed = stack.run(*fetch(ALLOWED), allow_domain="api.anthropic.com")
    assert narrowed.stdout == "403\n"
    widened = stack.run(*fetch(REFUSED), allow_domain=REFUSED)
    assert widened.returncode == 125
    assert "DOMAIN_NOT_IN_POLICY" in widened.stderr


def test_json_holds_all_of_it(stack: Stack) -> None:
    done = stack.run("sh", "-c", "echo out; echo err >&2; exit 3", json="")
    found = json.loads(done.stdout)
    assert done.returncode == found["exit_code"] == found["ending"]["exit_code"] == 3
    assert (found["stdout"], found["stderr"]) == ("out\n", "err\n")
    assert found["sandbox"]["profile"] == "test-generator"
    assert int(found["usage"]["memory"]["peak_bytes"]) > 0
    assert found["refusals"] == []
    assert len(found["trace_id"]) == 32


def test_the_trace_goes_through_every_service(stack: Stack) -> None:
    trace = stack.run(*fetch(REFUSED)).stderr.split()[-1].rstrip(")")
    deadline = time.monotonic() + 10
    tree = ""
    while "GateService/CloseDoor" not in tree and time.monotonic() < deadline:
        tree = stack.stockade("trace", "show", trace).stdout
        time.sleep(0.2)
    for step in (
        "stockade.run",
        "CreateSandbox",
        "GateService/OpenDoor",
        "Exec",
        "process",
        "AuditService/ListEntries",
    ):
        assert step in tree, tree


def test_an_unknown_agent_type_gets_default_and_is_told(stack: Stack) -> None:
    done = stack.stockade("run", "--agent-type", "nobody-knows", "--", "true")
    assert done.returncode == 0
    assert "nobody-knows" in done.stderr.splitlines()[0]
    assert "default" in done.stderr.splitlines()[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_the_command_and_the_sandbox(stack: Stack, number: int) -> None:
    environment = os.environ | stack.environment
    command = [STOCKADE, "run", "--", "sh", "-c", "echo go; sleep 60"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "go\n"
        running.send_signal(number)
        _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert sandboxes(stack) == []


def test_a_sandbox_in_steps(stack: Stack) -> None:
    name = stack.stockade("sandbox", "create", "--agent-type", "test-generator").stdout.strip()
    try:
        assert name in sandboxes(stack)
        assert json.loads(stack.stockade("sandbox", "show", name, "--json").stdout)["state"] == "SANDBOX_STATE_RUNNING"
        done = stack.stockade(
            "sandbox", "exec", "--env", "A=b", "--cwd", "/tmp", name, "--", "sh", "-c", "echo $A; pwd"
        )
        assert done.stdout == "b\n/tmp\n"
        assert stack.stockade("sandbox", "exec", name, "--", "sh", "-c", "exit 9").returncode == 9
        assert "memory" in stack.stockade("sandbox", "stats", name).stdout
    finally:
        assert stack.stockade("sandbox", "stop", name).stdout.strip() == name
    assert name not in sandboxes(stack)
    assert name in stack.stockade("sandbox", "list", "--all").stdout


def test_profiles_tell_all_types(stack: Stack) -> None:
    lines = stack.stockade("profiles").stdout.splitlines()
    assert len(lines) == 1 + 94 + 1
    assert stack.stockade("profiles", "qe-test-generator").stdout.splitlines()[1].split()[:3] == [
        "test-generator",
        "work",
        "2",
    ]
