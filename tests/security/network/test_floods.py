"""A flood harms its sender alone: the neighbour's answers stay quick, and the record stays short and complete."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import flood
from support.gate import needs_envoy
from support.gate_process import GateProcess, gate_process
from support.proxy import Proxy

pytestmark = [pytest.mark.gate, needs_envoy]

FLOODS = {
    "refused requests": b"GET http://evil.test/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "malformed requests": b"GET http://evil.test/ HTTP/9.9\r\nHost: x\r\n\r\n",
    "refused tunnels": b"CONNECT evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n",
}
SECONDS, CONNECTIONS = 4.0, 64
NOISE_S = 0.25
"""On two cores that the flood, Envoy, the service and the rest of the tests share, less than this says nothing."""


@pytest.fixture
def gate() -> Iterator[GateProcess]:
    with gate_process() as running:
        running.allow("ok.test", ports=())
        yield running


async def p95(door: Proxy, seconds: float) -> float:
    """How long a refusal takes at the 95th percentile, asked a few times a second."""
    taken = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        assert (await door.get("http://other.test/")).status == 403
        taken.append(time.perf_counter() - started)
        await asyncio.sleep(0.02)
    return sorted(taken)[int(len(taken) * 0.95)]


async def beside_a_busy_core(work: Coroutine[Any, Any, float]) -> float:
    """What `work` gives while something else takes the core that the flood will take."""
    spinning = f"import os; os.sched_setaffinity(0, {{{max(os.sched_getaffinity(0))}}})\nwhile True: pass"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", spinning)
    try:
        return await work
    finally:
        process.kill()
        await process.wait()


async def flooded(door: Proxy, head: bytes) -> dict[str, int]:
    """What became of the flood's requests."""
    command = [sys.executable, Path(flood.__file__), str(door.socket), str(SECONDS), str(CONNECTIONS)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate(head)
    counted: dict[str, int] = json.loads(said)
    return counted


@pytest.mark.parametrize("head", FLOODS.values(), ids=FLOODS)
async def test_a_flood_harms_its_sender_alone(gate: GateProcess, head: bytes) -> None:
    sender, neighbour = gate.open("sb-flood"), gate.open("sb-calm")
    quiet = await beside_a_busy_core(p95(neighbour, 2))
    flooding = asyncio.create_task(flooded(sender, head))
    loud = await p95(neighbour, SECONDS - 1)
    counted = await flooding
    assert loud <= max(2 * quiet, NOISE_S)
    await _recorded(gate, counted["sent"])
    entries = gate.service.entries(sandbox="sb-flood")
    assert len(entries) <= 100 * (SECONDS + 2) + 40  # a burst and a hundred a second are judged, the rest is counts


async def _recorded(gate: GateProcess, sent: int) -> None:
    """Every request is on the record: by itself, or in a count."""
    deadline = time.monotonic() + 5
    while (found := sum(map(_stands_for, gate.service.entries(sandbox="sb-flood")))) != sent:
        assert time.monotonic() < deadline, f"{found} of {sent} are on the record"
        await asyncio.sleep(0.1)


def _stands_for(entry: dict[str, Any]) -> int:
    if entry["action"] not in ("BLOCKED", "RATE_LIMITED"):
        return 0  # the door's own opening
    return int(entry.get("metadata", {}).get("count", 1))
