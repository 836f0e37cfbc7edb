"""A process's log stays JSON lines and stays bounded."""

import json
from pathlib import Path

from stockade_cli.stack.logfile import LONGEST_LINE_BYTES, BoundedLog


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_json_line_is_kept_byte_for_byte(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "cache.log", "cache", 10_000)
    log.write(b'{"message": "serving",  "n": 1}\n')
    log.close()
    assert (tmp_path / "cache.log").read_text() == '{"message": "serving",  "n": 1}\n'
    assert log.last_message == "serving"


def test_what_is_no_json_object_is_wrapped(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "gate.log", "gate", 10_000)
    for line in (b"[info] starting\n", b"[1, 2]", b"\xff\n", b"\n"):
        log.write(line)
    log.close()
    assert [entry["message"] for entry in written(tmp_path / "gate.log")] == ["[info] starting", "[1, 2]", "\ufffd"]


def test_past_its_limit_one_earlier_log_is_kept(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "gate.log", "gate", 1_000)
    for number in range(100):
        log.write(b"line %d\n" % number)
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"gate.log", "gate.log.1"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2_500
    assert written(tmp_path / "gate.log")[-1]["message"] == "line 99"


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "gate.log", "gate", 10_000)
    log.write(b"x" * (LONGEST_LINE_BYTES * 2))
    log.close()
    assert len(str(written(tmp_path / "gate.log")[0]["message"])) == LONGEST_LINE_BYTES


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "gate.log").symlink_to("/dev/full")
    log = BoundedLog(tmp_path / "gate.log", "gate", 10_000)
    for line in (b"one\n", b"two\n"):
        log.write(line)
    assert log.last_message == "two"
    log.close()
