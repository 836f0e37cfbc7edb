"""A session: the words that fill the table, the file a client reads, and the answers it prints."""

import base64
import hashlib
import io
import json
import os
import secrets
import struct
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import front, table
from conformance.certificates import DAY, Authority
from conformance.programs import ROOT, Program
from conformance.table import Judgement, Place, Step

SERVICES = ("sandbox", "policy", "cache", "audit")
GOLDEN_KEYS = ROOT / "protos/stockade/embeddingcache/v1/golden_keys.json"
ROWS, DIMENSIONS = 1500, 1024
"""The vectors of a stream: 6 MB, more than one message of gRPC's default size."""
TIMEOUT_S = 120
"""A client that has not ended by then is ended; the steps it did not come to have no answer."""


@dataclass(frozen=True)
class Outcome:
    """What a client made of the steps, by step name."""

    language: str
    answers: Mapping[str, Mapping[str, Any]]
    judgements: Mapping[str, Judgement]


def over_sockets(program: Program, operator: Path, place: Path) -> Outcome:
    """One client's session with the services whose sockets are in `operator`; its files are kept in `place`."""
    targets = {service: f"unix:{operator}/{service}.sock" for service in SERVICES}
    words = session_words(program.language, place)
    return _run(program, program.language, table.load(words, Place.OUTSIDE), targets, place)


def over_sidecar(program: Program, target: str, place: Path) -> Outcome:
    """The same by a sidecar, which leads to every service of a mesh."""
    language = f"mesh-{program.language}"
    steps = table.load(session_words(language, place), Place.MESH)
    return _run(program, f"{program.language} mesh", steps, dict.fromkeys(SERVICES, target), place)


def over_tls(program: Program, operator: Path, place: Path) -> Outcome:
    """The same over mutual TLS, through a front, and how it refuses those that it must not let in."""
    authority, foreign = Authority.new(place, "authority"), Authority.new(place, "other-authority")
    client = {"ca": authority.file, **authority.issue("client")}
    language = f"tls-{program.language}"
    with front.serving(operator, place, authority) as target:
        words = session_words(language, place) | client
        words |= {"tls_target": target, "other_ca": foreign.file}
        words |= _prefixed("expired", authority.issue("expired", expires=-DAY))
        words |= _prefixed("foreign", foreign.issue("foreign"))
        steps = table.load(words, Place.TLS)
        return _run(program, f"{program.language} tls", steps, dict.fromkeys(SERVICES, target), place, client)


def _run(
    program: Program,
    name: str,
    steps: Sequence[Step],
    targets: Mapping[str, str],
    place: Path,
    tls: Mapping[str, str] | None = None,
) -> Outcome:
    path = place / f"{name.replace(' ', '-')}.session.json"
    path.write_text(session_file(steps, targets, tls))
    results = path.with_suffix(".results")
    with (
        results.open("w") as stdout,
        path.with_suffix(".stderr").open("w") as stderr,
        suppress(subprocess.TimeoutExpired),
    ):
        subprocess.run(
            [*program.command(), str(path)],
            stdout=stdout,
            stderr=stderr,
            timeout=TIMEOUT_S,
            check=False,
            env=_environment(),
        )
    return outcome(name, steps, results.read_text())


def _prefixed(prefix: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}_{name}": path for name, path in files.items()}


def outcome(language: str, steps: Sequence[Step], printed: str) -> Outcome:
    """From what a client printed, one JSON object a step."""
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    answers = {line["step"]: line for line in lines}
    judgements = {step.name: table.judge(step, answers.get(step.name)) for step in steps}
    return Outcome(language, answers, judgements)


def session_file(steps: Sequence[Step], targets: Mapping[str, str], tls: Mapping[str, str] | None = None) -> str:
    """What a client reads."""
    rows = [{"name": step.name, "do": step.do, "with": step.given} for step in steps]
    return json.dumps({"targets": targets, "tls": tls, "steps": rows}, indent=1)


def session_words(language: str, place: Path) -> dict[str, Any]:
    """The words that fill the table for one client; the files they name are made in `place`."""
    nonce = f"{language}-{secrets.token_hex(4)}"
    agent = f"conformance-{nonce}"
    vectors = place / "vectors.bin"
    if not vectors.exists():
        vectors.write_bytes(stream_vectors())
    return {
        **vector_words(),
        "nonce": nonce,
        "agent": agent,
        "limited_agent": f"limited-{nonce}",
        "layer": f"agents/{agent}",
        "run_dir": str(place),
        "output_sha256": hashlib.sha256((b"stockade\n" * 2_222_223)[:20_000_000]).hexdigest(),
        "vectors": str(vectors),
        "vectors_bytes": vectors.stat().st_size,
        "vectors_sha256": hashlib.sha256(vectors.read_bytes()).hexdigest(),
        "archive": archive("deep/hello.txt"),
        "climbing_archive": archive("../hello.txt"),
        "golden_keys": str(GOLDEN_KEYS),
        "golden_count": len(json.loads(GOLDEN_KEYS.read_text())["keys"]),
    }


def vector_words() -> dict[str, str]:
    """Three rows, the second one not a number; they are asked for with one key that nobody stored."""
    keys = [hashlib.sha256(f"conformance {row}".encode()).hexdigest() for row in range(4)]
    rows = [
        struct.pack("<3f", 1.0, -0.0, 1e-45),
        struct.pack("<3f", 1.0, float("nan"), 0.0),
        struct.pack("<3f", 0.1, 2.5, 3e38),
    ]
    return {
        "row_keys": "".join(keys[:3]),
        "rows": b"".join(rows).hex(),
        "asked_keys": keys[0] + keys[3] + keys[1] + keys[2],
        "rows_back": (rows[0] + rows[2]).hex(),
    }


def stream_vectors() -> bytes:
    """ROWS x DIMENSIONS of f32, no two rows alike."""
    count = ROWS * DIMENSIONS
    return struct.pack(f"<{count}f", *(number / 7 for number in range(1, count + 1)))


def archive(member: str) -> str:
    """A tar archive of one small file, in base64."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo(member)
        info.size = 6
        tar.addfile(info, io.BytesIO(b"hello\n"))
    return base64.b64encode(buffer.getvalue()).decode()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "TRACEPARENT"}
