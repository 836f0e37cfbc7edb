"""Metrics: how a reading is told, and what the socket answers."""

import asyncio
import socket
from pathlib import Path

import pytest
from stockade_rpckit import metrics
from stockade_rpckit.metrics import Reading


async def five() -> float:
    return 5.0


def broken() -> float:
    raise OSError("the disk is away")


def by_kind(values: dict[str, float]) -> Reading:
    return Reading("x_by", "By kind.", lambda: values, label="kind")


TOLD = {
    "a gauge": (Reading("x_open", "Open.", lambda: 3), "# TYPE x_open gauge\nx_open 3.0\n"),
    "a counter": (Reading("x_total", "All.", lambda: 4), "# TYPE x_total counter\nx_total 4.0\n"),
    "by label": (by_kind({"a": 1, "b": 2}), 'x_by{kind="a"} 1.0\nx_by{kind="b"} 2.0\n'),
    "a label that has to be escaped": (by_kind({'a"\n': 1}), 'x_by{kind="a\\"\\n"} 1.0\n'),
    "awaited": (Reading("x_slow", "Slow.", five), "x_slow 5.0\n"),
}


@pytest.mark.parametrize(("reading", "text"), TOLD.values(), ids=TOLD)
async def test_how_a_reading_is_told(reading: Reading, text: str) -> None:
    assert text in (await metrics.exposition([reading])).decode()


async def test_a_reading_that_fails_hides_no_other() -> None:
    readings = [Reading("x_broken", "Broken.", broken), Reading("x_whole", "Whole.", lambda: 1)]
    told = (await metrics.exposition(readings)).decode()
    assert "x_whole 1.0" in told
    assert "x_broken" not in told


async def test_calls_are_counted_by_method_and_code() -> None:
    for code in ("OK", "OK", "NOT_FOUND"):
        metrics.observe_call("probe.v1.Probe/Counted", code, 0.003)
    told = (await metrics.exposition([])).decode()
    for code, count in (("OK", 2.0), ("NOT_FOUND", 1.0)):
        labels = f'rpc_method="probe.v1.Probe/Counted",rpc_response_status_code="{code}"'
        assert f"rpc_server_call_duration_seconds_count{{{labels}}} {count}" in told


ASKED = {
    "metrics": (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK", b"x_open 3.0\n"),
    "metrics with a query": (b"GET /metrics?name=x HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK", b"x_open 3.0\n"),
    "something else": (b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found", b"GET /metrics\n"),
    "another method": (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found", b"GET /metrics\n"),
    "no HTTP": (b"\x00\r\n\r\n", b"HTTP/1.1 404 Not Found", b"GET /metrics\n"),
    "half a request": (b"GET /met", b"", b""),
    "a head without end": (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000, b"", b""),
}


@pytest.mark.parametrize(("asked", "status", "body"), ASKED.values(), ids=ASKED)
async def test_what_the_socket_answers(tmp_path: Path, asked: bytes, status: bytes, body: bytes) -> None:
    path = tmp_path / "x.metrics.sock"
    async with await metrics.serve(path, [Reading("x_open", "Open.", lambda: 3)]):
        answer = await asyncio.to_thread(_ask, path, asked)
    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.startswith(status)
    assert body in text


def _ask(path: Path, asked: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        try:
            client.sendall(asked)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65_536), b""))
        except OSError:  # hung up before all was said
            return b""
