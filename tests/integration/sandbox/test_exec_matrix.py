"""Endings injected at random over all nine reasons: every reason right, nothing hung, nobody left alive.

`make test` injects 90, `make test-long` 500.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from stockade_sandbox.domain.ending import Ending, Reason, Stop
from stockade_sandbox.domain.execution import Command

from support.supervised import PYTHON, Sandbox, collect, docker, supervised, working

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("engine")]

SANDBOXES = 3
STUBBORN = (
    "trap '' TERM INT HUP; (setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &); while :; do sleep 1; done"
)
HOLDER = "b = bytearray(200 << 20)"
FORKER = "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(0.5); os._exit(0)"
FILLER = "f = open('/workspace/full', 'wb')\nwhile True: f.write(bytes(1 << 20))"

Inject = Callable[[Sandbox, random.Random], Awaitable[Ending]]


async def exits(sandbox: Sandbox, dice: random.Random) -> Ending:
    code = dice.choice([0, 1, 2, 100, 126, 127, 128, 137, 143, 255])
    ending = (await sandbox.run("sh", "-c", f"exit {code}")).ending
    assert ending.exit_code == code
    return ending


async def is_signalled(sandbox: Sandbox, dice: random.Random) -> Ending:
    number = dice.choice([1, 6, 8, 9, 11, 14, 15])
    ending = (await sandbox.run("sh", "-c", f"kill -{number} $$; sleep 5")).ending
    assert (ending.signal, ending.exit_code) == (number, None)
    return ending


async def times_out(sandbox: Sandbox, dice: random.Random) -> Ending:
    execution = await sandbox.supervision.start(
        sandbox.name, Command(args=("sh", "-c", STUBBORN), timeout_s=dice.uniform(0.05, 0.3))
    )
    ending = (await collect(execution)).ending
    assert time.time_ns() - ending.end_ns < 1e9
    assert execution.cgroup is not None
    assert execution.cgroup.pids() == []
    return ending


async def runs_out_of_memory(sandbox: Sandbox, dice: random.Random) -> Ending:
    python = " ".join(PYTHON)
    ways = [(*PYTHON, "-c", HOLDER), ("sh", "-c", f"{python} -c '{HOLDER}'; exit $?")]
    return (await sandbox.run(*dice.choice(ways))).ending


async def runs_out_of_pids(sandbox: Sandbox, _dice: random.Random) -> Ending:
    ending = (await sandbox.run(*PYTHON, "-c", FORKER)).ending
    await asyncio.sleep(0.7)
    return ending


async def fills_the_disk(sandbox: Sandbox, _dice: random.Random) -> Ending:
    ending = (await sandbox.run(*PYTHON, "-c", FILLER)).ending
    await sandbox.run("rm", "-f", "/workspace/full")
    return ending


async def writes_too_much(sandbox: Sandbox, dice: random.Random) -> Ending:
    limit = dice.choice([1, 4096, 65_537, 1_000_000])
    result = await sandbox.run("yes", max_output_bytes=limit)
    assert len(result.stdout) == limit
    return result.ending


async def is_cancelled(sandbox: Sandbox, dice: random.Random) -> Ending:
    execution = await sandbox.supervision.start(sandbox.name, Command(args=("sh", "-c", STUBBORN)))
    await asyncio.sleep(dice.uniform(0, 0.1))
    execution.stop(Stop.CANCELLED)
    return (await collect(execution)).ending


async def loses_its_sandbox(_sandbox: Sandbox, dice: random.Random) -> Ending:
    async with supervised() as doomed:
        execution = await doomed.supervision.start(doomed.name, Command(args=("sh", "-c", STUBBORN)))
        way = dice.choice([("kill",), ("kill", "-s", "TERM"), ("rm", "-f")])
        if way[-1] == "TERM":
            await doomed.supervision.close(doomed.name)
        else:
            await asyncio.to_thread(docker, *way, doomed.container)
        ending = (await collect(execution)).ending
        assert (ending.exit_code, ending.signal) == (None, None)
        return ending


INJECTIONS: dict[Reason, Inject] = {
    Reason.EXITED: exits,
    Reason.SIGNALLED: is_signalled,
    Reason.TIMEOUT: times_out,
    Reason.OUT_OF_MEMORY: runs_out_of_memory,
    Reason.PIDS_LIMIT: runs_out_of_pids,
    Reason.DISK_FULL: fills_the_disk,
    Reason.OUTPUT_LIMIT: writes_too_much,
    Reason.CANCELLED: is_cancelled,
    Reason.SANDBOX_LOST: loses_its_sandbox,
}


@pytest.mark.parametrize(
    "count", [90, pytest.param(500, marks=[pytest.mark.long, pytest.mark.timeout(1200)])], ids=["90", "500"]
)
async def test_every_ending_is_told_as_what_it_was(count: int) -> None:
    assert INJECTIONS.keys() == set(Reason)
    dice = random.Random(count)
    reasons = [reason for reason in Reason for _ in range(-(-count // len(Reason)))]
    dice.shuffle(reasons)
    waiting = iter(reasons[:count])
    told: Counter[tuple[Reason, Reason]] = Counter()

    async def work(sandbox: Sandbox) -> None:
        for reason in waiting:
            ending = await asyncio.wait_for(INJECTIONS[reason](sandbox, dice), 30)
            told[reason, ending.reason] += 1

    async with AsyncExitStack() as stack:
        sandboxes = [await stack.enter_async_context(supervised(memory="128m", pids=40)) for _ in range(SANDBOXES)]
        await asyncio.gather(*map(work, sandboxes))
        for sandbox in sandboxes:
            assert await working(sandbox) == 0
    assert {pair: number for pair, number in told.items() if pair[0] != pair[1]} == {}
    assert sum(told.values()) == count
