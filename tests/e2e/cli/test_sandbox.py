"""`stockade sandbox …` on a sandbox that lives on."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stack import STOCKADE, Stack

pytestmark = [pytest.mark.docker, pytest.mark.gate]


@pytest.fixture(scope="module")
def name(stack: Stack) -> Iterator[str]:
    """A sandbox for all of these tests."""
    created = stack.stockade("sandbox", "create", "--agent-type", "test-generator")
    assert created.returncode == 0, created.stderr
    yield created.stdout.strip()
    stack.stockade("sandbox", "stop", created.stdout.strip())


def test_files_go_in_and_come_out(stack: Stack, name: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "file").write_bytes(os.urandom(1_000_000))
    (tmp_path / "out").mkdir()
    assert stack.stockade("sandbox", "cp", str(tmp_path / "in"), f"{name}:/workspace/there").returncode == 0
    done = stack.stockade("sandbox", "cp", f"{name}:/workspace/there", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    (copied,) = (path for path in (tmp_path / "out").rglob("file"))
    assert copied.read_bytes() == (tmp_path / "in" / "deep" / "file").read_bytes()


def test_a_file_goes_in_under_its_name(stack: Stack, name: str, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("one")
    assert stack.stockade("sandbox", "cp", str(tmp_path / "one.txt"), f"{name}:/workspace").returncode == 0
    assert stack.stockade("sandbox", "exec", name, "--", "cat", "/workspace/one.txt").stdout == "one"


COPIES = [
    ("both outside", ["/a", "/b"], 2, "NAME:PATH"),
    ("a source that is not there", ["/no/such", "{name}:/workspace"], 2, "/no/such"),
    ("a path that is not there", ["{name}:/no/such", "/tmp"], 4, "/no/such"),
    ("a sandbox that is none", ["sb-none:/workspace", "/tmp"], 4, "sb-none"),
]


@pytest.mark.parametrize(("words", "code", "named"), [case[1:] for case in COPIES], ids=[case[0] for case in COPIES])
def test_a_copy_that_cannot_be(stack: Stack, name: str, words: list[str], code: int, named: str) -> None:
    done = stack.stockade("sandbox", "cp", *(word.format(name=name) for word in words))
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr


def test_a_long_copy_shows_how_far_it_is(stack: Stack, name: str, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(150 << 20))
    ours, theirs = pty.openpty()
    command = [STOCKADE, "sandbox", "cp", str(tmp_path / "big"), f"{name}:/workspace"]
    with subprocess.Popen(command, stderr=theirs, env=os.environ | stack.environment) as copy:
        os.close(theirs)
        read_until(ours, r"copied [\d.]+ MiB, [\d.]+ MiB/s")
        read_until(ours, r"\r\x1b\[Kstockade: 1 copied")
        assert copy.wait(20) == 0
    os.close(ours)
    assert stack.stockade("sandbox", "exec", name, "--", "rm", "/workspace/big").returncode == 0


def test_it_stands_still_and_goes_on(stack: Stack, name: str) -> None:
    assert stack.stockade("sandbox", "pause", name).stdout == f"{name}\n"
    assert json.loads(stack.stockade("sandbox", "show", name, "--json").stdout)["state"] == "SANDBOX_STATE_PAUSED"
    refused = stack.stockade("sandbox", "exec", name, "--", "true")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "resume" in refused.stderr
    assert stack.stockade("sandbox", "resume", name).returncode == 0
    assert stack.stockade("sandbox", "exec", name, "--", "true").returncode == 0


def test_a_snapshot_is_taken_listed_restored_and_forgotten(stack: Stack, name: str) -> None:
    stack.stockade("sandbox", "exec", name, "--", "sh", "-c", "echo kept > /workspace/kept")
    taken = stack.stockade("sandbox", "snapshot", name).stdout.strip()
    assert taken in stack.stockade("sandbox", "snapshots", "--sandbox", name).stdout
    restored = stack.stockade("sandbox", "restore", taken).stdout.strip()
    assert stack.stockade("sandbox", "exec", restored, "--", "cat", "/workspace/kept").stdout == "kept\n"
    assert stack.stockade("sandbox", "forget", taken).stdout == f"{taken}\n"
    assert json.loads(stack.stockade("sandbox", "snapshots", "--json").stdout) == []
    assert stack.stockade("sandbox", "stop", restored).returncode == 0


def test_programs_get_json(stack: Stack, name: str) -> None:
    done = stack.stockade("sandbox", "exec", "--json", name, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"], told["stdout"], told["stderr"]) == (3, 3, "out\n", "err\n")
    assert told["ending"]["reason"] == "EXITED"
    used = json.loads(stack.stockade("sandbox", "top", "--json").stdout)
    assert name in {each["sandbox"]["name"] for each in used}
    assert json.loads(stack.stockade("sandbox", "profiles", "default", "--json").stdout)[0]["name"] == "default"


def test_a_program_that_is_not_there_was_never_started(stack: Stack, name: str) -> None:
    done = stack.stockade("sandbox", "exec", name, "--", "no-such-program")
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_run_that_is_killed_leaves_nothing_for_long(stack: Stack) -> None:
    command = [STOCKADE, "run", "--agent", "orphan", "--", "sleep", "300"]
    with subprocess.Popen(command, env=os.environ | stack.environment, stdin=subprocess.DEVNULL) as run:
        while not (found := json.loads(stack.stockade("sandbox", "list", "--agent", "orphan", "--json").stdout)):
            time.sleep(0.2)
        time.sleep(1)
        run.kill()
    assert found[0]["idle_timeout"] == "60s"
    began = time.monotonic()
    while json.loads(stack.stockade("sandbox", "list", "--agent", "orphan", "--json").stdout):
        assert time.monotonic() - began < 90
        time.sleep(1)


def test_top_shows_what_lives(stack: Stack, name: str) -> None:
    done = stack.stockade("sandbox", "top", "--once")
    assert done.returncode == 0
    row = next(line for line in done.stdout.splitlines() if line.startswith(name))
    assert "MiB" in row


def test_a_shell_without_a_terminal_says_what_to_use(stack: Stack, name: str) -> None:
    done = stack.stockade("sandbox", "shell", name)
    assert done.returncode == 2
    assert "sandbox exec" in done.stderr


def test_a_shell_is_a_terminal_of_this_size_that_can_change(stack: Stack, name: str) -> None:
    ours, theirs = pty.openpty()
    resize(ours, 31, 97)
    command = [STOCKADE, "sandbox", "shell", name]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | stack.environment, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as shell:  # fmt: skip
        os.close(theirs)
        said = read_until(ours, r"\$ ")
        os.write(ours, b"stty size; tty\n")
        said += read_until(ours, r"31 97\s+/dev/pts/\d")
        resize(ours, 20, 50)
        time.sleep(0.3)
        os.write(ours, b"stty size\n")
        said += read_until(ours, r"20 50")
        os.write(ours, b"sleep 60\n")
        time.sleep(0.3)
        os.write(ours, b"\x03exit 5\n")  # Ctrl-C is the program's to hear
        assert shell.wait(20) == 5, said
    os.close(ours)


def resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read_until(terminal: int, pattern: str) -> str:
    said = ""
    while not re.search(pattern, said):
        assert select.select([terminal], [], [], 10)[0], f"nothing more after {said!r}"
        said += os.read(terminal, 4096).decode(errors="replace")
    return said
