"""Figures of the wall in bad times: what a neighbour notices of a flood, how soon requests pass after an outage."""

import asyncio

from load.harness import Figure
from support.gate_process import gate_process
from support.neighbours import FLOODS, beside_a_busy_core, flooded, p95
from support.outages import OUTAGES, load

SECONDS = 6.0


async def measure() -> list[Figure]:
    """All of them, one after another."""
    return [await neighbour(), *await recoveries()]


async def neighbour() -> Figure:
    """A neighbour's p95 while one sandbox floods, beside the same while something else takes that core."""
    with gate_process() as gate:
        gate.allow("ok.test", ports=())
        sender, calm = gate.open("sb-flood"), gate.open("sb-calm")
        quiet = await beside_a_busy_core(p95(calm, SECONDS))
        flooding = asyncio.create_task(flooded(sender, list(FLOODS.values()), connections=256, seconds=SECONDS + 1))
        loud = await p95(calm, SECONDS)
        await flooding
    return Figure("flood_neighbour_p95_ratio", loud * 1000, "ms", "ratio <= 2", {"without the flood": quiet * 1000})


async def recoveries() -> list[Figure]:
    """The longest from a part's start, killed or frozen before, to the first request that passes; and what passed."""
    async with load() as running:
        worst = max([await outage.befall(running) for outage in OUTAGES.values()])
        out = running.evil.bytes
    return [
        Figure("outage_recovery_worst_s", worst, "s", "<= 2"),
        Figure("outage_unauthorised_bytes", float(out), "bytes", "= 0"),
    ]
