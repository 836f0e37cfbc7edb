"""The record is saved while it is written, destroyed, put back: what was acknowledged before is in, and verifies."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.stack import Stack, placed_stack, short_directory

RECORD = Path(__file__).parents[3] / "deploy/backup/record"
pytestmark = [pytest.mark.gate, pytest.mark.skipif(os.geteuid() != 0, reason="a stack needs root")]


def record(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, RECORD, *words], check=False, capture_output=True, text=True, timeout=60)


def ids(stack: Stack) -> set[str]:
    """Every entry that is durable by now."""
    listed = stack.stockade("audit", "list", "--limit", "1000", "--json")
    assert listed.returncode == 0, listed.stderr
    document = json.loads(listed.stdout)
    return {entry["id"] for entry in (document["entries"] if isinstance(document, dict) else document)}


@pytest.mark.long
@pytest.mark.docker
def test_what_was_acknowledged_before_is_there_after() -> None:
    with placed_stack(STOCKADE_SANDBOX_WARM="") as stack, short_directory() as backup:
        assert stack.stockade("up").returncode == 0
        for _ in range(5):
            assert stack.stockade("policy", "show", "test-generator").returncode == 0
        before = ids(stack)
        done = threading.Event()
        writer = threading.Thread(target=keep_writing, args=(stack, done))
        writer.start()
        saved = record("save", stack.state_dir / "audit", backup / "copy")
        done.set()
        writer.join()
        assert saved.returncode == 0, saved.stderr

        assert stack.stockade("down").returncode == 0
        place = (stack.state_dir / "audit").resolve()  # tests have it in memory
        for inner in place.iterdir():
            shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
        restored = record("restore", backup / "copy", place)
        assert restored.returncode == 0, restored.stderr
        up = stack.stockade("up")
        assert up.returncode == 0, up.stderr
        verified = stack.stockade("audit", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert len(before) > 5
        assert before <= ids(stack)


def keep_writing(stack: Stack, done: threading.Event) -> None:
    while not done.is_set():
        stack.stockade("policy", "show", "test-generator")


@pytest.mark.parametrize("verb", ["save", "restore"])
def test_nothing_is_overwritten_and_nothing_foreign_is_taken(verb: str, tmp_path: Path) -> None:
    (tmp_path / "whole/journals").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    assert "holds no journals" in record(verb, tmp_path / "empty", tmp_path / "new").stderr
    assert "would be lost" in record(verb, tmp_path / "whole", tmp_path / "whole").stderr
