"""Packs of evidence: the same bytes each time, checked by the verifier in them with nothing else on the machine."""

import asyncio
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest
from stockade_audit import Action, Entry

from support import memory
from support.audit_cli import stockade
from support.auditd import Auditd, eventually
from support.journals import SLOT, entry, in_thread, open_journal, write

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m"


def moment() -> str:
    return datetime.now(UTC).isoformat()


def build(auditd: Auditd, name: str, start: str, end: str, *words: str) -> Path:
    """The pack of a period under a name, by the command."""
    path = auditd.base / name
    done = stockade(auditd, "audit", "evidence", "--from", start, "--to", end, "-o", str(path), *words)
    assert done.returncode == 0, done.stderr
    return path


@dataclass(frozen=True)
class Built:
    """A pack that only is read, the key to it, and the witness's heads."""

    path: Path
    key: str
    heads: Path
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def built() -> Iterator[Built]:
    """One pack for all tests that look at it."""
    with tempfile.TemporaryDirectory(prefix="aud-", dir=memory.place()) as directory:
        daemon = Auditd(Path(directory)).start()
        path = build(daemon, "pack.zip", *a_period(daemon), "--sample", "20")
        yield Built(path, (daemon.witness / "heads.pub").read_text().strip(), daemon.witness, read(path))
        daemon.stop()


def a_period(auditd: Auditd) -> tuple[str, str]:
    """A period with decisions, lifecycle, a policy change and faults in it, and others before and after."""
    write(auditd.journals, [40, 40])
    auditd.until_indexed(SLOT, 80)
    time.sleep(3)  # a head between what was before and the period, and the daemon's count of who read meanwhile
    start = moment()
    append(
        auditd,
        *(entry(n, action=Action.BLOCKED, domain=f"d{n % 3}.example", rule="block_unknown_domains") for n in range(60)),
        *(entry(n, action=Action.RATE_LIMITED, agent_type="researcher") for n in range(7)),
        entry(action=Action.BLOCKED, domain=HOSTILE),
        Entry(action=Action.SANDBOX_CREATED, agent="a-1", sandbox="sb-1"),
        Entry(action=Action.POLICY_CHANGED, principal_kind="operator", principal="ada", resource="researcher"),
        Entry(action=Action.GAP, reason="RECORD_UNAVAILABLE", metadata={"refused": 5}),
        Entry(action=Action.ERASED, reason="REQUESTED"),
        Entry(action=Action.MEASURED, reason="ACCEPTANCE", metadata={"cache hit rate, %": 97.0}),
    )
    time.sleep(0.01)
    end = moment()
    append(auditd, *(entry(n, action=Action.BLOCKED) for n in range(9)))
    return start, end


def append(auditd: Auditd, *entries: Entry) -> None:
    async def work() -> None:
        journal = open_journal(auditd.journals)
        await journal.append_many(entries)
        journal.close()

    in_thread(asyncio.run, work())


def read(pack: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(pack) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def verifier(base: Path, pack: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The pack's own verifier in an interpreter that sees the standard library and nothing of ours."""
    alone = base / "alone"
    shutil.rmtree(alone, ignore_errors=True)
    alone.mkdir()
    (alone / "verify.py").write_bytes(read(pack)["verify.py"])
    (alone / "pack.zip").write_bytes(pack.read_bytes())
    command = [sys.executable, "-I", "-S", "verify.py", "pack.zip", *words]
    return subprocess.run(command, cwd=alone, env={}, capture_output=True, text=True, check=False)


def test_two_packs_of_one_period_are_the_same_bytes(auditd: Auditd) -> None:
    start, end = a_period(auditd)
    first = build(auditd, "first.zip", start, end, "--seed", "7", "--sample", "20")
    write(auditd.journals, [30])  # what comes later changes nothing
    time.sleep(2)
    auditd.stop()
    auditd.start()
    second = build(auditd, "second.zip", start, end, "--seed", "7", "--sample", "20")
    assert first.read_bytes() == second.read_bytes()
    other = build(auditd, "other.zip", start, end, "--seed", "8", "--sample", "20")
    assert read(other)["sample.ndjson"] != read(first)["sample.ndjson"]
    assert read(other)["controls.json"] == read(first)["controls.json"]


def test_it_counts_what_happened_in_the_period(built: Built) -> None:
    files = built.files
    manifest = json.loads(files["manifest.json"])
    counts = {row["counted"]: row["count"] for row in json.loads(files["controls.json"])}
    assert (manifest["entries"], manifest["sample"]) == (73, 20)
    assert counts["requests refused by policy"] == 61
    assert counts["requests refused by a limit"] == 7
    assert counts["requests for unknown domains"] == 60
    assert counts["sandboxes created"] == 1
    assert counts["policy changes"] == 1
    assert counts["appends refused for want of storage"] == 5
    shown = {
        name: files[f"{name}.ndjson"].count(b'{"type":"entry"') for name in ("policies", "retention", "acceptance")
    }
    assert shown == {"policies": 1, "retention": 1, "acceptance": 1}


def test_the_report_stands_alone_and_runs_nothing(built: Built) -> None:
    page = built.files["report.html"].decode()
    plots = re.findall(r"<svg.*?</svg>", page)
    assert len(plots) >= 4
    for plot in plots:
        ElementTree.fromstring(plot)
    assert "<script" not in page
    assert not re.search(r"(src|href)\s*=|url\(|@import", page)
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "no statement of compliance" in page
    assert "cache hit rate, %: 97" in page
    assert "ada" in page


def test_the_verifier_in_it_needs_nothing_else(built: Built, tmp_path: Path) -> None:
    alone = verifier(tmp_path, built.path, "--key", built.key)
    assert (alone.returncode, alone.stdout.splitlines()[-1]) == (0, "INTACT"), alone.stdout + alone.stderr
    assert "no witness was asked" in alone.stdout
    held = verifier(tmp_path, built.path, "--key", built.key, "--heads", str(built.heads))
    assert (held.returncode, held.stdout.splitlines()[-1]) == (0, "INTACT"), held.stdout + held.stderr
    assert "kept by the witness" in held.stdout


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, 1)


# What is done to which file, and whether the verifier finds it; a `mended` manifest lists the changed file.
HARMS = [
    ("a count", "controls.json", swap(b'"count": 61', b'"count": 16'), False, 1),
    ("a count, mended", "controls.json", swap(b'"count": 61', b'"count": 16'), True, 0),
    ("an entry, mended", "policies.ndjson", swap(b"POLICY_CHANGED", b"SANDBOX_PAUSED"), True, 1),
    ("an entry less, mended", "sample.ndjson", lambda d: re.sub(rb"\n.*", b"", d, count=1), True, 1),
    ("a head, mended", "continuity.json", swap(b'"after": "stock', b'"after": "stuck'), True, 1),
    ("a proof, mended", "continuity.json", lambda d: re.sub(rb'("test-0": \[\s*")..', rb"\1AA", d), True, 1),
    ("a file more", "extra.txt", lambda d: b"x", False, 1),
]


def test_a_changed_pack_is_not_intact(built: Built, tmp_path: Path) -> None:
    """Every change but that of a count, which is not proven by the pack (it says so): for that there is the export."""
    files = built.files
    for n, (name, file, harm, mended, status) in enumerate(HARMS):
        changed = {**files, file: harm(files.get(file, b""))}
        assert changed != files, name
        if mended:
            changed["manifest.json"] = mend(changed)
        path = tmp_path / f"harmed-{n}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in changed.items():
                archive.writestr(member, data)
        done = verifier(tmp_path, path, "--key", built.key)
        assert done.returncode == status, (name, done.stdout, done.stderr)


def mend(files: dict[str, bytes]) -> bytes:
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = {name: sha256(files[name]).hexdigest() for name in manifest["files"]}
    return json.dumps(manifest).encode()


def test_a_period_that_no_witness_covers_is_refused(auditd: Auditd, base: Path) -> None:
    write(auditd.journals, [3])
    now = moment()
    for start, end in ((now, "2999-01-01"), ("2999-01-01", now)):
        done = stockade(auditd, "audit", "evidence", "--from", start, "--to", end, "-o", str(base / "x.zip"))
        assert done.returncode != 0
        assert "period" in done.stderr
        assert not (base / "x.zip").exists()
    whole = base / "whole.zip"
    eventually(
        lambda: stockade(auditd, "audit", "evidence", "--from", "1h", "--to", now, "-o", str(whole)).returncode == 0
    )
    assert json.loads(read(whole)["manifest.json"])["entries"] >= 3
    assert zipfile.ZipFile(io.BytesIO(whole.read_bytes())).testzip() is None
