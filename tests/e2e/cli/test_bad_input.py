"""Bad input: one line on stderr that names the mend, a documented exit code, no traceback, nothing lost."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stockade_cli.stack.accounts import Account
from stockade_cli.stack.launch import command_line

from support.stack import ROOT, STOCKADE, Stack, placed_stack, running_stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]

RUN = ["run", "--agent-type", "test-generator"]

CASES = [
    ("an unknown command", ["rnu"], 2, ["rnu", "stockade --help"]),
    ("an unknown option", ["run", "--memroy", "1g", "--", "true"], 2, ["memroy"]),
    ("no command", ["run"], 2, ["COMMAND", "stockade run --help"]),
    ("a duration that is none", ["run", "--timeout", "soon", "--", "true"], 2, ["soon", "90s"]),
    ("a size that is none", ["run", "--memory", "much", "--", "true"], 2, ["much", "512m"]),
    ("an upload that is not there", ["run", "--upload", "/no/such", "--", "true"], 2, ["/no/such"]),
    ("a variable without a value", ["run", "--env", "NAME", "--", "true"], 2, ["NAME", "K=V"]),
    ("memory above the profile", [*RUN, "--memory", "64g", "--", "true"], 125, ["memory", "2"]),
    ("cores above the profile", [*RUN, "--cpu", "64", "--", "true"], 125, ["cpu"]),
    ("an agent id that is none", [*RUN, "--agent", "Not An Id", "--", "true"], 125, ["agent", "INVALID_REQUEST"]),
    ("a missing image", [*RUN, "--image", "stockade/absent", "--", "true"], 125, ["stockade/absent"]),
    ("an image that may not run", [*RUN, "--image", "evil/image", "--", "true"], 125, ["evil/image"]),
    ("no gate in front", [*RUN, "--network-mode", "host", "--", "true"], 125, ["HOST"]),
    ("a domain outside the policy", [*RUN, "--allow-domain", "evil.test", "--", "true"], 125, ["evil.test"]),
    ("a sandbox that is none", ["sandbox", "show", "sb-none"], 4, ["sb-none", "SANDBOX_NOT_FOUND"]),
    ("a name that is none", ["sandbox", "show", "Not A Name"], 2, ["name", "INVALID_REQUEST"]),
    ("an exec in none", ["sandbox", "exec", "sb-none", "--", "true"], 4, ["sb-none", "SANDBOX_NOT_FOUND"]),
    ("an end of none", ["sandbox", "stop", "sb-none"], 4, ["sb-none"]),
    ("a trace that is none", ["trace", "show", "0" * 31 + "1"], 4, ["TRACE_NOT_FOUND"]),
    ("an entry that is none", ["audit", "show", "no-such-entry"], 4, ["ENTRY_NOT_FOUND"]),
]


@pytest.mark.parametrize(("words", "code", "named"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_one_line_that_names_the_mend(stack: Stack, words: list[str], code: int, named: list[str]) -> None:
    done = stack.stockade(*words)
    assert done.returncode == code, done.stderr
    assert_one_line(done.stderr, *named)
    assert done.stdout == ""
    assert stack.stockade("sandbox", "list").stdout.count("\n") == 1, "no sandbox stays"


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("STOCKADE_STACK_RNU_DIR", "/x", ["STOCKADE_STACK_RNU_DIR", "STOCKADE_STACK_RUN_DIR"]),
        ("STOCKADE_STACK_LOG_BYTES", "big", ["STOCKADE_STACK_LOG_BYTES", "big"]),
    ],
)
def test_a_setting_of_the_command(stack: Stack, variable: str, value: str, named: list[str]) -> None:
    done = stack.stockade("status", **{variable: value})
    assert done.returncode == 2
    assert_one_line(done.stderr, *named)


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    for words in (["sandbox", "list"], ["status"], ["profiles"], ["audit", "list"]):
        done = subprocess.run(
            [STOCKADE, "--run-dir", str(tmp_path), *words], check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 3
        assert_one_line(done.stderr, "stockade up")


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that every uid may enter; pytest's own are closed."""
    place = Path(tempfile.mkdtemp(prefix="sk-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def small_disk(open_dir: Path) -> Iterator[Path]:
    """A directory on a disk of 2 MiB."""
    place = open_dir / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a stack needs root")


def as_nobody(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, called by the user nobody, from a clone that nobody could otherwise reach."""
    stage = stack.state_dir / "stage"
    stage.mkdir(exist_ok=True)
    command = command_line([str(STOCKADE), *words], Account(65534, 65534), [ROOT], stage)
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | stack.environment, timeout=60, cwd="/"
    )


OTHERS = [
    ("a call", ["sandbox", "list"], 5, ["nobody", "STOCKADE_STACK_OPERATORS=nobody"]),
    ("a run", ["run", "--", "true"], 5, ["nobody", "STOCKADE_STACK_OPERATORS=nobody"]),
    ("an end", ["down"], 1, ["sudo stockade down"]),
]


@needs_root
@pytest.mark.parametrize(("words", "code", "named"), [case[1:] for case in OTHERS], ids=[case[0] for case in OTHERS])
def test_somebody_else(stack: Stack, words: list[str], code: int, named: list[str]) -> None:
    done = as_nobody(stack, *words)
    assert done.returncode == code, done.stderr
    assert_one_line(done.stderr, *named)


@needs_root
def test_an_operator_by_name_is_recorded_by_name() -> None:
    with running_stack(STOCKADE_STACK_OPERATORS="nobody") as running:
        done = as_nobody(running, "run", "--", "id", "-un")
        assert (done.returncode, done.stdout) == (0, "agent\n"), done.stderr
        who = {entry.get("principal") for entry in json.loads(running.stockade("audit", "list", "--json").stdout)}
        assert "nobody" in who


@needs_root
def test_a_full_disk_is_named_when_a_stack_starts(small_disk: Path) -> None:
    with placed_stack(STOCKADE_STACK_STATE_DIR=str(small_disk)) as placed:
        done = placed.stockade("up")
        assert done.returncode == 1
        assert_one_line(done.stderr, "audit", "No space left")


CORRUPT = [
    ("policies", "policy/policies.sqlite", "policies.sqlite"),
    ("the cache", "cache/vectors.sqlite", "vectors.sqlite"),
    ("the registry", "sandbox/registry.sqlite", "registry.sqlite"),
]


@needs_root
@pytest.mark.parametrize(("place", "named"), [case[1:] for case in CORRUPT], ids=[case[0] for case in CORRUPT])
def test_a_damaged_file_is_named_and_left_as_it_is(place: str, named: str) -> None:
    with placed_stack() as placed:
        file = placed.state_dir / place
        file.parent.mkdir()
        file.write_bytes(b"this is no database" * 1000)
        file.chmod(0o666)
        done = placed.stockade("up")
        assert done.returncode == 1, done.stderr
        assert_one_line(done.stderr.splitlines()[-1], named)
        assert file.read_bytes() == b"this is no database" * 1000


@needs_root
def test_a_corrupt_policy_file_is_named(open_dir: Path) -> None:
    file = open_dir / "policies.yaml"
    file.write_text("policies: [unclosed")
    with placed_stack(STOCKADE_POLICY_POLICY_FILE=str(file)) as placed:
        done = placed.stockade("up")
        assert done.returncode == 1
        assert_one_line(done.stderr.splitlines()[-1], str(file))


@needs_root
def test_a_run_dir_that_is_too_long_is_named(open_dir: Path) -> None:
    with placed_stack(STOCKADE_STACK_RUN_DIR=str(open_dir / ("x" * 100))) as placed:
        done = placed.stockade("up")
        assert done.returncode == 1
        assert_one_line(done.stderr.splitlines()[-1], "107 bytes", "run_dir")


@needs_root
def test_a_place_that_the_services_cannot_enter_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with placed_stack(STOCKADE_STACK_STATE_DIR=str(tmp_path / "state")) as placed:
        done = placed.stockade("up")
        assert done.returncode == 1
        assert_one_line(done.stderr, "may not enter", "--state-dir")


@needs_root
def test_a_state_directory_of_other_uids_is_named() -> None:
    with placed_stack() as placed:
        (placed.state_dir / "audit").mkdir(exist_ok=True)
        os.chown(placed.state_dir / "audit", 1_700_000_001, 0)
        done = placed.stockade("up")
        assert done.returncode == 1
        assert_one_line(done.stderr, "STOCKADE_STACK_UID_BASE=1700000000")


def assert_one_line(said: str, *named: str) -> None:
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("stockade: ")
    for word in named:
        assert word in lines[0]
