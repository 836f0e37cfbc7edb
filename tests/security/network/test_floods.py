"""A flood harms its sender alone: the neighbour's answers stay quick, and the record stays short and complete."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.gate import needs_envoy
from support.gate_process import GateProcess, gate_process
from support.neighbours import FLOODS, beside_a_busy_core, flooded, p95

pytestmark = [pytest.mark.gate, needs_envoy]

SECONDS = 4.0
NOISE_S = 0.25
"""On two cores that the flood, Envoy, the service and the rest of the tests share, less than this says nothing."""


@pytest.fixture
def gate() -> Iterator[GateProcess]:
    with gate_process() as running:
        running.allow("ok.test", ports=())
        yield running


@pytest.mark.parametrize("head", FLOODS.values(), ids=FLOODS)
async def test_a_flood_harms_its_sender_alone(gate: GateProcess, head: bytes) -> None:
    sender, neighbour = gate.open("sb-flood"), gate.open("sb-calm")
    quiet = await beside_a_busy_core(p95(neighbour, 2))
    flooding = asyncio.create_task(flooded(sender, [head], seconds=SECONDS))
    loud = await p95(neighbour, SECONDS - 1)
    counted = await flooding
    assert loud <= max(2 * quiet, NOISE_S)
    await _recorded(gate, counted["sent"])
    entries = gate.service.entries(sandbox="sb-flood")
    assert len(entries) <= 100 * (SECONDS + 2) + 40  # a burst and a hundred a second are judged, the rest is counts


@pytest.mark.parametrize("count", [5_120, pytest.param(51_200, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
async def test_a_long_flood_is_a_short_record_that_adds_up(gate: GateProcess, count: int) -> None:
    """Refused and malformed by turns, on all the connections that a door takes."""
    started = time.monotonic()
    counted = await flooded(gate.open("sb-flood"), list(FLOODS.values()), connections=256, count=count)
    assert counted["sent"] == count
    await _recorded(gate, count)
    entries = gate.service.entries(sandbox="sb-flood")
    assert len(entries) <= 110 * (time.monotonic() - started) + 140  # what is judged, and a few counts, each second


async def _recorded(gate: GateProcess, sent: int) -> None:
    """Every request is on the record: by itself, or in a count."""
    deadline = time.monotonic() + 5
    while (found := sum(map(_stands_for, gate.service.entries(sandbox="sb-flood")))) != sent:
        assert time.monotonic() < deadline, f"{found} of {sent} are on the record"
        await asyncio.sleep(0.1)


def _stands_for(entry: dict[str, Any]) -> int:
    if entry["action"] not in ("BLOCKED", "RATE_LIMITED") or entry.get("rule") == "unanswered":
        return 0  # the door's own opening; a request whose decision came too late, and stands by itself
    return int(entry.get("metadata", {}).get("count", 1))
