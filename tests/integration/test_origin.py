"""The example's world outside: a name that leads to an origin, both on loopback."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ORIGIN = Path(__file__).parents[2] / "examples/test_generator/origin.py"


@dataclass
class Origin:
    """The running origin, where it serves, and the file that it keeps."""

    process: subprocess.Popen[str]
    http: str
    dns: tuple[str, int]
    kept: Path


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    kept = tmp_path / "reports.ndjson"
    command = [sys.executable, ORIGIN, "--name", "Api.Example", "--keep", kept]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    places = re.findall(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
    yield Origin(process, f"127.0.0.1:{places[0]}", ("127.0.0.1", int(places[1])), kept)
    process.kill()
    process.wait()


def ask(origin: Origin, name: str, kind: int = 1) -> bytes:
    """The answer to one DNS query (RFC 1035), behind its id."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = b"\x00\x07\x01\x00\x00\x01" + bytes(6) + labels + b"\0" + bytes([0, kind, 0, 1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(5)
        asker.sendto(query, origin.dns)
        return asker.recv(512)


def test_the_name_leads_to_the_origin_and_no_other_name_does(origin: Origin) -> None:
    assert ask(origin, "api.example").endswith(socket.inet_aton("127.0.0.1"))
    assert ask(origin, "other.example")[3] & 15 == 3
    assert ask(origin, "api.example", kind=28)[6:8] == b"\0\0"


def test_what_is_no_query_is_dropped(origin: Origin) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.sendto(b"\xff" * 20, origin.dns)
        asker.sendto(b"", origin.dns)
    assert ask(origin, "api.example")[:2] == b"\0\x07"


def test_reports_are_taken_and_kept(origin: Origin) -> None:
    for number in range(2):
        body = json.dumps({"number": number}).encode()
        with urllib.request.urlopen(f"http://{origin.http}/report", body) as answer:
            assert json.load(answer) == {"taken": True}
    assert [json.loads(line)["number"] for line in origin.kept.read_text().splitlines()] == [0, 1]


def test_what_speaks_no_http_harms_nobody(origin: Origin) -> None:
    host, port = origin.http.split(":")
    for noise in (b"\0" * 70_000, b"GET / HTTP/1.1\r\ncontent-length: many\r\n\r\n"):
        with socket.create_connection((host, int(port)), 5) as stranger:
            stranger.sendall(noise)
    with urllib.request.urlopen(f"http://{origin.http}/") as answer:
        assert answer.status == 200


def test_it_stops_when_told(origin: Origin) -> None:
    origin.process.send_signal(signal.SIGTERM)
    assert origin.process.wait(5) == 0


def test_it_serves_on_loopback_alone() -> None:
    command = [sys.executable, ORIGIN, "--name", "x", "--http", "0.0.0.0:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, "not on loopback" in done.stderr) == (2, True)
